//! The same work by calls straight to the engine, 8 at a time: nothing can do it with fewer.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::process::Command;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig, NetworkCreateRequest,
    NetworkingConfig, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, ListContainersOptionsBuilder,
    ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures_util::stream::{self, StreamExt};

use crate::stack::BUSYBOX;

pub(crate) const PARALLEL: usize = 8;
const PROJECT: &str = "com.docker.compose.project";

pub(crate) struct Engine {
    runtime: tokio::runtime::Runtime,
    pub(crate) docker: Docker,
}

impl Engine {
    pub(crate) fn connect() -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let docker = Docker::connect_with_defaults().expect("a Docker Engine is there");
        let docker = runtime.block_on(docker.negotiate_version()).expect("the engine answers");
        Self { runtime, docker }
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Creates and starts `count` containers like those of [`crate::stack::sleepers`].
    pub(crate) fn cold(&self, project: &str, count: usize) -> Duration {
        self.block_on(async {
            let start = Instant::now();
            let network = self.network(project).await;
            stream::iter(1..=count)
                .for_each_concurrent(PARALLEL, |number| {
                    let network = &network;
                    async move { self.create_and_start(project, &format!("sleeper{number:02}"), network).await }
                })
                .await;
            start.elapsed()
        })
    }

    /// Creates and starts one container of a project.
    pub(crate) async fn create_and_start(&self, project: &str, service: &str, network: &str) {
        let name = format!("{project}-{service}-1");
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let body = sleeper(project, service, network);
        self.docker.create_container(Some(options), body).await.expect("the container is made");
        self.docker.start_container(&name, None).await.expect("the container starts");
    }

    /// The list and the details of every container of a project: the least that a look takes.
    pub(crate) fn look(&self, project: &str) -> Duration {
        self.block_on(async {
            let start = Instant::now();
            let all = ListContainersOptionsBuilder::new().all(true).build();
            let listed = self.docker.list_containers(Some(all)).await.expect("the engine lists");
            let ours = listed.into_iter().filter(|line| {
                line.labels.as_ref().is_some_and(|labels| labels.get(PROJECT).is_some_and(|it| it == project))
            });
            stream::iter(ours)
                .for_each_concurrent(16, |line| async move {
                    let id = line.id.expect("a container has an id");
                    self.docker.inspect_container(&id, None).await.expect("the container is there");
                })
                .await;
            start.elapsed()
        })
    }

    /// Kills a container; the time from its death until it runs again by somebody else's hand.
    pub(crate) async fn killed(&self, project: &str, name: &str) -> Duration {
        let kill = async { self.docker.kill_container(name, None).await.expect("it is killed") };
        self.until_started(project, Some("die"), kill).await
    }

    /// Kills a container and starts it again as soon as the engine lets it; the time from its death until it runs.
    pub(crate) async fn restarted(&self, project: &str, name: &str) -> Duration {
        let both = async {
            self.docker.kill_container(name, None).await.expect("it is killed");
            self.docker.start_container(name, None).await.expect("it starts again");
        };
        self.until_started(project, Some("die"), both).await
    }

    /// Removes a container; the time from its end until another one runs in its place.
    pub(crate) async fn removed(&self, project: &str, name: &str) -> Duration {
        let force = RemoveContainerOptionsBuilder::new().force(true).build();
        let remove = async { self.docker.remove_container(name, Some(force)).await.expect("it is removed") };
        self.until_started(project, Some("destroy"), remove).await
    }

    /// Creates and starts a container on a network of its own; the time until it runs.
    pub(crate) async fn started(&self, project: &str) -> Duration {
        let network = self.network(project).await;
        self.until_started(project, None, self.create_and_start(project, "sleeper", &network)).await
    }

    /// Does something; the time until a container of the project starts, from the event `from` on, or from
    /// the first moment. Both ends are what the engine's events say, so that both sides are measured alike.
    async fn until_started(
        &self,
        project: &str,
        from: Option<&str>,
        act: impl Future<Output = ()>,
    ) -> Duration {
        let mut filters = label(project);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let mut events = self.docker.events(Some(options));
        // Listening begins with the first question; nothing happens yet.
        let settled = Duration::from_millis(300);
        while let Ok(Some(_)) = tokio::time::timeout(settled, events.next()).await {}
        let watch = async {
            let mut start = from.is_none().then(Instant::now);
            loop {
                let event = tokio::time::timeout(Duration::from_secs(30), events.next()).await;
                let event = event.expect("something happens within 30 s").expect("the stream goes on");
                let action = event.expect("the engine tells what happens").action.unwrap_or_default();
                match start {
                    None if from == Some(action.as_str()) => start = Some(Instant::now()),
                    Some(start) if action == "start" => return start.elapsed(),
                    _ => {}
                }
            }
        };
        futures_util::future::join(watch, act).await.0
    }

    /// Runs a command to its end; the time from its beginning until the first thing is done about a container of the
    /// project.
    pub(crate) fn until_acted(&self, project: &str, command: &mut Command) -> Duration {
        let mut filters = label(project);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let mut events = self.docker.events(Some(options));
        let settled = Duration::from_millis(300);
        self.block_on(async {
            while let Ok(Some(_)) = tokio::time::timeout(settled, events.next()).await {}
            let start = Instant::now();
            let mut child = command.spawn().expect("the command starts");
            let first = tokio::time::timeout(Duration::from_secs(30), events.next()).await;
            first.expect("something is done within 30 s");
            let took = start.elapsed();
            assert!(child.wait().expect("the command ends").success());
            took
        })
    }

    async fn network(&self, project: &str) -> String {
        let name = format!("{project}_default");
        let request = NetworkCreateRequest {
            name: name.clone(),
            labels: Some(HashMap::from([(PROJECT.to_owned(), project.to_owned())])),
            ..NetworkCreateRequest::default()
        };
        self.docker.create_network(request).await.expect("the network is made");
        name
    }

    pub(crate) fn inspect(&self, name: &str) -> ContainerInspectResponse {
        self.block_on(self.docker.inspect_container(name, None)).expect("the container is there")
    }

    /// How many containers of a project run.
    pub(crate) fn running(&self, project: &str) -> usize {
        let options = ListContainersOptionsBuilder::new().filters(&label(project)).build();
        self.block_on(self.docker.list_containers(Some(options))).expect("the engine lists").len()
    }

    /// Every Compose project that has a container or a network here.
    pub(crate) fn projects(&self) -> BTreeSet<String> {
        self.block_on(async {
            let all = ListContainersOptionsBuilder::new().all(true).build();
            let containers = self.docker.list_containers(Some(all)).await.expect("the engine lists");
            let networks = self.docker.list_networks(None).await.expect("the engine lists");
            let containers = containers.into_iter().filter_map(|container| container.labels);
            let labels = containers.chain(networks.into_iter().filter_map(|network| network.labels));
            labels.filter_map(|mut labels| labels.remove(PROJECT)).collect()
        })
    }

    /// How many containers of these projects run.
    pub(crate) fn running_of(&self, projects: &[String]) -> usize {
        let options = ListContainersOptionsBuilder::new().build();
        let listed = self.block_on(self.docker.list_containers(Some(options))).expect("the engine lists");
        let labels = listed.into_iter().filter_map(|line| line.labels);
        labels.filter(|it| it.get(PROJECT).is_some_and(|project| projects.contains(project))).count()
    }

    /// Removes all that carries the project's label. Says so and goes on where something does not go: it runs
    /// on failure too.
    pub(crate) fn clear(&self, project: &str) {
        self.block_on(self.remove_all(project));
    }

    /// Removes all that carries one of these labels.
    pub(crate) fn clear_all(&self, projects: &[String]) {
        let each = stream::iter(projects).for_each_concurrent(PARALLEL, |project| self.remove_all(project));
        self.block_on(each);
    }

    async fn remove_all(&self, project: &str) {
        let options = ListContainersOptionsBuilder::new().all(true).filters(&label(project)).build();
        let containers = self.docker.list_containers(Some(options)).await.unwrap_or_default();
        stream::iter(containers)
            .for_each_concurrent(PARALLEL, |container| async move {
                let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                let id = container.id.unwrap_or_default();
                if let Err(error) = self.docker.remove_container(&id, Some(force)).await {
                    eprintln!("container {id} stays: {error}");
                }
            })
            .await;
        let options = ListNetworksOptionsBuilder::new().filters(&label(project)).build();
        for network in self.docker.list_networks(Some(options)).await.unwrap_or_default() {
            let id = network.id.unwrap_or_default();
            if let Err(error) = self.docker.remove_network(&id).await {
                eprintln!("network {id} stays: {error}");
            }
        }
    }
}

fn label(project: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{PROJECT}={project}")])])
}

/// A container of [`crate::stack::sleepers`], with as many labels as Compose and the operator give it.
fn sleeper(project: &str, service: &str, network: &str) -> ContainerCreateBody {
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    let compose =
        ["config-hash", "config_files", "container-number", "depends_on", "image", "oneoff", "version"];
    let mut labels: HashMap<String, String> = compose
        .iter()
        .map(|key| (format!("com.docker.compose.{key}"), "a value of about thirty bytes".to_owned()))
        .collect();
    labels.insert(PROJECT.to_owned(), project.to_owned());
    labels.insert("com.docker.compose.service".to_owned(), service.to_owned());
    labels.insert("bench".to_owned(), "1".to_owned());
    let endpoint = EndpointSettings { aliases: words(&[service]), ..EndpointSettings::default() };
    ContainerCreateBody {
        image: Some(BUSYBOX.to_owned()),
        cmd: words(&["sleep", "infinity"]),
        env: words(&["NUMBER=1"]),
        labels: Some(labels),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            memory: Some(32 << 20),
            init: Some(true),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.to_owned(), endpoint)])),
        }),
        ..ContainerCreateBody::default()
    }
}
