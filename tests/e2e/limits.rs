//! Limits change while the container runs: the same id, the same start.

use serde_json::{Value, json};

use crate::stage::{Project, SLEEPER, docker};

fn web(fields: &str) -> String {
    format!("services:\n  web:\n    {SLEEPER}\n{fields}")
}

/// Applies one after the other, and looks at the host configuration after each; nothing ever restarts.
fn in_place(word: &str, first: &str, rest: &[(&str, &[(&str, Value)])]) {
    let project = Project::with(word, &web(first));
    project.apply();
    let life = project.container("web-1").life();
    for (fields, expected) in rest {
        project.compose(&web(fields));
        let (code, diff) = project.diff("compose.yaml");
        assert_eq!(code, 1, "{fields}");
        for change in diff["changes"].as_array().unwrap() {
            assert_eq!(change["impact"], "in-place", "{change}");
        }
        assert_eq!(diff["steps"].as_array().unwrap().len(), 1, "all in one call: {diff}");
        let said = project.apply();
        assert_eq!(said.steps(), [format!("update container {}", project.named("web-1"))]);
        let container = project.container("web-1");
        assert_eq!(container.life(), life, "it was restarted for {fields}");
        for (field, value) in *expected {
            assert_eq!(&container.0["HostConfig"][field], value, "{field} after {fields}");
        }
        project.assert_nothing_to_do("compose.yaml");
    }
}

#[test]
fn a_memory_limit_goes_up_and_down_in_place() {
    const MIB: i64 = 1 << 20;
    in_place(
        "memory",
        "    mem_limit: 64m\n",
        &[
            ("    mem_limit: 128m\n", &[("Memory", json!(128 * MIB))]),
            ("    mem_limit: 32m\n", &[("Memory", json!(32 * MIB))]),
            (
                "    deploy: {resources: {limits: {memory: 96M}, reservations: {memory: 48M}}}\n",
                &[("Memory", json!(96 * MIB)), ("MemoryReservation", json!(48 * MIB))],
            ),
            (
                "    deploy: {resources: {limits: {memory: 40M}, reservations: {memory: 20M}}}\n",
                &[("Memory", json!(40 * MIB)), ("MemoryReservation", json!(20 * MIB))],
            ),
        ],
    );
}

#[test]
fn processors_processes_and_the_restart_policy_change_in_place() {
    in_place(
        "others",
        "    cpus: 0.5\n    restart: 'no'\n",
        &[
            ("    cpus: 0.75\n    restart: 'no'\n", &[("NanoCpus", json!(750_000_000))]),
            ("    cpus: 0.75\n    restart: 'no'\n    pids_limit: 50\n", &[("PidsLimit", json!(50))]),
            (
                "    cpus: 0.75\n    pids_limit: 50\n    restart: on-failure:3\n",
                &[("RestartPolicy", json!({"Name": "on-failure", "MaximumRetryCount": 3}))],
            ),
            (
                "    cpus: 0.25\n    pids_limit: 60\n    restart: always\n    cpu_shares: 512\n    mem_limit: 64m\n",
                &[
                    ("NanoCpus", json!(250_000_000)),
                    ("PidsLimit", json!(60)),
                    ("CpuShares", json!(512)),
                    ("Memory", json!(64 << 20)),
                    ("RestartPolicy", json!({"Name": "always", "MaximumRetryCount": 0})),
                ],
            ),
        ],
    );
}

#[test]
fn the_manifest_changes_limits_of_all_replicas_in_place() {
    let project = Project::with("overlay", &web("    deploy: {replicas: 3}\n"));
    project.manifest("  services: {web: {resources: {limits: {memory: 64m, pids: 20}}}}\n");
    project.apply_file("stack.yaml");
    let before = project.containers();
    project.manifest("  services: {web: {resources: {limits: {memory: 96m, cpus: \"0.5\", pids: 30}}}}\n");
    let said = project.apply_file("stack.yaml");
    assert_eq!(said.steps().len(), 3, "{said}");
    for (name, container) in project.containers() {
        assert_eq!(container.life(), before[&name].life());
        assert_eq!(container.number("/HostConfig/Memory"), 96 << 20);
        assert_eq!(container.number("/HostConfig/NanoCpus"), 500_000_000);
        assert_eq!(container.number("/HostConfig/PidsLimit"), 30);
    }
}

#[test]
fn limits_that_are_removed_from_the_file_are_lifted_in_place() {
    let project = Project::with("lift", &web("    mem_limit: 64m\n    cpus: 0.5\n    pids_limit: 50\n"));
    project.apply();
    let life = project.container("web-1").life();
    project.compose(&web(""));
    project.apply();
    let container = project.container("web-1");
    assert_eq!(container.life(), life);
    // The engine cannot take back every limit: where it cannot, all that there is stands for none.
    let info: Value = serde_json::from_str(&docker(&["info", "--format", "{{json .}}"])).unwrap();
    let all = |field: &str| info[field].as_i64().unwrap();
    for (field, all) in
        [("Memory", all("MemTotal")), ("NanoCpus", all("NCPU") * 1_000_000_000), ("PidsLimit", i64::MAX)]
    {
        let limit = container.number(&format!("/HostConfig/{field}"));
        assert!(limit <= 0 || limit >= all, "{field} is {limit} of {all}");
    }
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn a_memory_limit_under_what_is_in_use_is_refused_with_the_figure_until_it_is_allowed() {
    let fields =
        |limit: &str| format!("    mem_limit: {limit}\n    tmpfs: [/fill]\n    memswap_limit: {limit}\n");
    let project = Project::with("inuse", &web(&fields("64m")));
    project.apply();
    let life = project.container("web-1").life();
    // What lies in a tmpfs counts as the container's memory.
    project.exec("web-1", &["dd", "if=/dev/zero", "of=/fill/file", "bs=1M", "count=24"]);
    project.compose(&web(&fields("16m")));
    let said = project.operator(&["apply", "--timeout", "5s"]);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.err.contains("MiB of memory and the limit is to be 16M"), "{said}");
    assert!(said.err.contains("--allow memory-under-use"), "{said}");
    let container = project.container("web-1");
    assert_eq!((container.life(), container.number("/HostConfig/Memory")), (life, 64 << 20));
}
