//! Input that is made to take for ever: the program ends, within limits that its kernel enforces.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use tempfile::TempDir;

/// What a run may take of the processor: far above what any case needs, far below for ever.
const CPU_SECONDS: u32 = 20;
/// What a run may map, in KiB. Every port twice, as an unoptimised build holds them, is the most of all.
const ADDRESS_SPACE_KIB: u32 = 1_500_000;
/// A machine that is busy with other things gives a process little of its processor.
const PATIENCE: Duration = Duration::from_mins(5);

fn place(files: &[(&str, String)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    dir
}

/// The exit code and what was said on stderr. A run over its limits is killed and has no code.
fn validate(dir: &Path, options: &[String]) -> (Option<i32>, String) {
    let program = assert_cmd::cargo::cargo_bin("operator");
    let script =
        format!("ulimit -t {CPU_SECONDS}; ulimit -v {ADDRESS_SPACE_KIB}; ulimit -c 0; exec \"$@\" validate");
    let mut command = Command::new("sh");
    command.env_clear().current_dir(dir).timeout(PATIENCE).args(["-c", &script, "sh"]).arg(program);
    let output = command.args(options).output().expect("a shell");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Refused, with words that say why, a way out, and no more than fits on some screens.
fn refused(what: &str, files: &[(&str, String)], words: &str) {
    let (code, said) = validate(place(files).path(), &[]);
    assert_eq!(code, Some(2), "{what}: {said:.2000}");
    assert!(said.contains(words), "{what} does not say `{words}`: {said:.2000}");
    assert!(said.contains("help: "), "{what}: {said:.2000}");
    assert!(said.len() < 100_000, "{what}: {} bytes", said.len());
}

fn loads(what: &str, files: &[(&str, String)]) {
    let (code, said) = validate(place(files).path(), &[]);
    assert_eq!(code, Some(0), "{what}: {said:.2000}");
}

fn compose(text: impl Into<String>) -> Vec<(&'static str, String)> {
    vec![("compose.yaml", text.into())]
}

fn service(attribute: &str) -> Vec<(&'static str, String)> {
    compose(format!("services: {{a: {{image: x, {attribute}}}}}\n"))
}

/// Lines made from their numbers.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, "{}", line(number)).expect("a string takes all");
        text
    })
}

const MEBI: usize = 1_000_000;

#[test]
fn aliases_that_multiply_are_refused() {
    let laughs = lines(12, |n| match n {
        0 => "x-a0: &a0 [x, x, x, x, x, x, x, x, x]".to_owned(),
        n => format!("x-a{n}: &a{n} [{}]", vec![format!("*a{}", n - 1); 9].join(", ")),
    });
    refused("a billion laughs", &compose(laughs), "once its aliases are followed");
    let merges = lines(60, |n| match n {
        0 => "x-m0: &m0 {k: v}".to_owned(),
        n => format!("x-m{n}: &m{n} {{a: *m{0}, b: *m{0}, <<: [*m{0}, *m{0}]}}", n - 1),
    });
    refused("merge keys that multiply", &compose(merges), "once its aliases are followed");
    let list = format!(
        "x-m: &m {{{}}}\nx-n: {{<<: [{}]}}\n",
        lines(1_000, |n| format!("k{n}: v,")),
        "*m, ".repeat(240)
    );
    refused("a list of merge keys", &compose(list), "once its aliases are followed");
    refused("a merge key of itself", &compose("x-a: &a {<<: *a}\nservices: {a: {image: x}}\n"), "cycle");
    refused("an alias of itself", &compose("x-a: &a [*a]\nservices: {a: {image: x}}\n"), "cycle");
}

#[test]
fn depth_and_size_are_bounded() {
    for opener in ["[", "{a: ", "- ", "? "] {
        refused(opener, &compose(opener.repeat(MEBI / opener.len())), "nested");
    }
    refused("blocks", &compose(lines(1_300, |n| format!("{}k:", " ".repeat(n)))), "nested more than");
    refused("a hundred megabytes", &compose("a".repeat(100 * MEBI)), "larger than");
    refused("five megabytes", &compose(format!("x-a: {}\n", "a".repeat(5 * MEBI))), "larger than");
    loads("a giant text", &service(&format!("command: ['{}']", "x".repeat(MEBI - 100))));
    refused("a giant key", &compose(format!("? {}\n: 1\n", "k".repeat(MEBI - 100))), "a key is longer than");
    let long = "k".repeat(4_000);
    let keys = lines(40, |n| format!("{0}? {long}\n{0}:", " ".repeat(n + 1)));
    let below = lines(14_000, |n| format!("{}k{n}: $$", " ".repeat(41)));
    loads("long paths", &compose(format!("x-a:\n{keys}{below}services: {{a: {{image: x}}}}\n")));
}

#[test]
fn texts_in_any_encoding_are_read_or_refused() {
    refused("a NUL byte", &compose("services: {a: {image: \"x\u{0}\"}}"), "U+0000");
    let sixteen: Vec<u8> = "services: {a: {image: x}}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, code) in [
        ([b"\xff\xfe".to_vec(), sixteen.clone()].concat(), 0),
        ([b"\xff\xfe".to_vec(), sixteen[1..].to_vec()].concat(), 2),
        (sixteen, 2),
        (b"services: {a: {image: \"\xff\"}}".to_vec(), 2),
        (b"\xef\xbb\xbfservices: {a: {image: x}}".to_vec(), 0),
    ] {
        let dir = place(&[]);
        fs::write(dir.path().join("compose.yaml"), bytes).expect("a file");
        assert_eq!(validate(dir.path(), &[]).0, Some(code));
    }
}

#[test]
fn ports_are_counted() {
    loads("every port", &service("ports: ['1-65535:1-65535']"));
    let many = (1..30_000).map(|n| format!("'{n}-65535'")).collect::<Vec<_>>().join(", ");
    refused("every port many times", &service(&format!("ports: [{many}]")), "publishes more than");
    refused("every port exposed many times", &service(&format!("expose: [{many}]")), "exposes more than");
}

#[test]
fn variables_that_multiply_are_refused() {
    let text = |text: &str| service(&format!("command: ['{text}']"));
    let nested = format!("{}{}", "${A:-".repeat(10_000), "}".repeat(10_000));
    refused("defaults in defaults", &text(&nested), "nested more than 32");
    refused("braces that stay open", &text(&"${A:-".repeat(150_000)), "invalid interpolation");
    loads(
        "many defaults in a long line",
        &text(&format!("{}{}", "${A:-}".repeat(80_000), "x".repeat(400_000))),
    );
    let doubling =
        lines(64, |n| if n == 0 { "A0=xxxxxxxx".to_owned() } else { format!("A{n}=$A{0}$A{0}", n - 1) });
    let files = [service("command: $A63"), vec![(".env", doubling)]].concat();
    refused("variables that double", &files, "expand to more than");
    loads("variables of each other", &[text("$A"), vec![(".env", "A=$B$B\nB=$A$A\n".to_owned())]].concat());
}

#[test]
fn env_files_are_bounded_and_have_to_be_files() {
    let with = |text: String| [service("command: $A"), vec![(".env", text)]].concat();
    loads("a large env file", &with("A=1\n".repeat(1_000_000)));
    refused("a giant env file", &with("A=1\n".repeat(2_000_000)), "larger than");
    refused("an env file of faults", &with("A B=1\n".repeat(600_000)), "a variable name contains a space");
    for path in ["/dev/zero", "/tmp", "fifo", "loop"] {
        let dir = place(&service(&format!("env_file: {path}")));
        let made =
            std::process::Command::new("mkfifo").arg(dir.path().join("fifo")).status().expect("mkfifo");
        assert!(made.success());
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).expect("a link");
        let (code, said) = validate(dir.path(), &[]);
        assert_eq!(code, Some(2), "{path}: {said}");
        assert!(
            said.contains("env file cannot be read") && said.contains("compose.yaml:1:"),
            "{path}: {said}"
        );
    }
    let services =
        format!("services:\n{}", lines(5_000, |n| format!("  s{n}: {{image: x, env_file: f.env}}")));
    let files = |text: String| [compose(services.as_str()), vec![("f.env", text)]].concat();
    refused(
        "a large env file for each of many",
        &files("A=1\n".repeat(500_000)),
        "bytes of env and label files",
    );
}

#[test]
fn files_that_lead_to_each_other_are_refused() {
    let chain = |step: &dyn Fn(usize) -> String| -> Vec<(String, String)> {
        (0..3_000).map(|n| (format!("f{n}.yaml"), step(n + 1))).collect()
    };
    let run = |what: &str, first: &str, files: Vec<(String, String)>, words: &str| {
        let mut all: Vec<(&str, String)> =
            files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        all.push(("compose.yaml", first.to_owned()));
        refused(what, &all, words);
    };
    run(
        "a chain of includes",
        "include: [f0.yaml]\n",
        chain(&|n| format!("include: [f{n}.yaml]\n")),
        "include each other over more than",
    );
    let twice = |n: usize| format!("include: [f{n}.yaml, f{n}.yaml]\n");
    let mut doubling: Vec<(String, String)> = (0..30).map(|n| (format!("f{n}.yaml"), twice(n + 1))).collect();
    doubling.push(("f30.yaml".to_owned(), "services: {a: {image: x}}\n".to_owned()));
    run("includes that double", &twice(0), doubling, "files are loaded");
    let extending =
        |n: usize| format!("services: {{a: {{image: x, extends: {{file: f{n}.yaml, service: a}}}}}}\n");
    run("a chain of extended files", &extending(0), chain(&extending), "extend each other over more than");
    let large = lines(5_000, |n| format!("  s{n}: {{image: x}}"));
    let large = vec![("f0.yaml".to_owned(), format!("services:\n{large}"))];
    run(
        "a large file again and again",
        &format!("include: [{}]\n", "f0.yaml, ".repeat(1_900)),
        large,
        "values",
    );
    refused(
        "a chain of extended services",
        &compose(format!(
            "services:\n{}  s5000: {{image: x}}\n",
            lines(5_000, |n| format!("  s{n}: {{extends: s{}}}", n + 1))
        )),
        "extend each other over more than",
    );
}

#[test]
fn circles_of_dependencies_are_refused() {
    let circle = lines(5_000, |n| format!("  s{n}: {{image: x, depends_on: [s{}]}}", (n + 1) % 5_000));
    refused("a large circle", &compose(format!("services:\n{circle}")), "dependency cycle");
    for (a, b) in
        [("volumes_from: [b]", "volumes_from: [a]"), ("network_mode: 'service:b'", "pid: 'service:a'")]
    {
        let text = format!("services: {{a: {{image: x, {a}}}, b: {{image: x, {b}}}}}\n");
        refused(a, &compose(text), "dependency cycle");
    }
}

#[test]
fn thousands_of_files_are_refused_and_hundreds_are_not() {
    let files: Vec<(String, String)> =
        (0..2_100).map(|n| (format!("m{n}.yaml"), "services: {a: {image: x}}\n".to_owned())).collect();
    let dir = place(&files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect::<Vec<_>>());
    let options = |count: usize| -> Vec<String> {
        (0..count).flat_map(|n| ["-f".to_owned(), format!("m{n}.yaml")]).collect()
    };
    assert_eq!(validate(dir.path(), &options(300)).0, Some(0));
    let (code, said) = validate(dir.path(), &options(2_100));
    assert_eq!(code, Some(2), "{said:.2000}");
    assert!(said.contains("files are loaded"), "{said:.2000}");
}

#[test]
fn many_services_load_and_many_faults_end() {
    let anchors = lines(10_000, |n| format!("  s{n}: {{<<: *d, image: x}}"));
    loads(
        "ten thousand services of one anchor",
        &compose(format!("x-d: &d {{restart: always}}\nservices:\n{anchors}")),
    );
    let unknown = lines(10_000, |n| format!("  s{n}: {{image: x, networks: [n{n}]}}"));
    refused("a network for each", &compose(format!("services:\n{unknown}")), "undefined network");
    let line = (0..30_000).map(|n| format!("s{n}: {{imag: x}}")).collect::<Vec<_>>().join(", ");
    refused("all on one line", &compose(format!("services: {{{line}}}\n")), "and 950 more");
    refused("the same key", &compose("x: 1\n".repeat(150_000)), "already defined");
    let twice = (0..100_000).map(|n| format!("c{}", n % 50_000)).collect::<Vec<_>>().join(", ");
    refused("the same items", &service(&format!("security_opt: [{twice}]")), "same item twice");
}

const IDENTITY: &str = "AGE-SECRET-KEY-1NPGT4U689GZVWN2K3W07GQ30Q4VQWED6QG2SUNZ90GM7VZP7550QUW28W2";

/// A file of SOPS that its identity opens, with another pattern and with lines above its own: whoever may write to a repository
/// can make it so.
fn with_pattern(field: &str, pattern: &str, lines: &str) -> String {
    let own = include_str!("../secrets/sops/regex.env").lines().filter(|line| line.starts_with("sops_"));
    let own = own.filter(|line| !line.starts_with("sops_encrypted_regex"));
    let own: String = own.flat_map(|line| [line, "\n"]).collect();
    format!("{lines}{own}sops_{field}={pattern}\n")
}

/// What is in a file of SOPS is read before anything of it is known to be right, and with no identity too.
#[test]
fn files_of_sops_take_no_more_than_they_are_long() {
    // As many states as are taken, all of them at each byte.
    let slow = "(?:a?){150}[^a]";
    let comment = |length: usize| format!("#{}\n", "a".repeat(length));
    let zeros = format!("{}0", "0,".repeat(MEBI));
    for (what, file, fault) in [
        (
            "a long name of many values",
            format!(r#"{{"data":"ENC[AES256_GCM,data:","sops":{{"{}":[{zeros}]}}}}"#, "k".repeat(MEBI)),
            "damaged or cut off",
        ),
        (
            "many values of many names",
            format!(r#"{{"data":"ENC[AES256_GCM,data:","a":[{zeros}],"sops":{{"age":[]}}}}"#),
            "as something else than an env file",
        ),
        ("a long pattern", with_pattern("encrypted_regex", &"(|)".repeat(MEBI), ""), "its pattern"),
        ("a large pattern", with_pattern("encrypted_regex", "(?:a?){9000}[^a]", ""), "its pattern"),
        (
            "a long comment",
            with_pattern("encrypted_comment_regex", slow, &comment(MEBI)),
            "line 1 has a name or a comment that is too long",
        ),
        (
            "many comments",
            with_pattern("encrypted_comment_regex", slow, &comment(4_000).repeat(900)),
            "has a name or a comment that is too long",
        ),
        (
            "a long name",
            with_pattern("encrypted_regex", slow, &format!("{}=\n", "a".repeat(5_000))),
            "line 1 has a name or a comment that is too long",
        ),
    ] {
        let file = [("age.key", IDENTITY.to_owned()), ("secrets.env", file)];
        let dir = place(&[service("env_file: secrets.env").as_slice(), &file].concat());
        let (code, said) = validate(dir.path(), &["--age-identity".to_owned(), "age.key".to_owned()]);
        assert_eq!(code, Some(2), "{what}: {said:.2000}");
        assert!(said.contains(fault) && said.contains("help: "), "{what}: {said:.2000}");
    }
}
