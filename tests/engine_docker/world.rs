//! What a test makes on the engine, and that it goes away again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptions, RemoveVolumeOptions,
};
use compose_operator::core::action::NewContainer;
use compose_operator::core::ids::{ContainerId, Replica, StackName};
use compose_operator::core::observed::Container;
use compose_operator::core::spec::{ContainerSpec, Resources};
use compose_operator::core::{desired, labels};
use compose_operator::engine::docker::Docker;
use compose_operator::engine::{ReadEngine, WriteEngine};

use crate::images::make_sure_of_images;
pub(crate) use crate::images::{BUSYBOX, REDIS};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A stack of a test's own. Dropping it removes all that carries its name, also when the test fails.
pub(crate) struct World {
    pub(crate) docker: Docker,
    pub(crate) stack: StackName,
}

impl World {
    pub(crate) fn new() -> Self {
        make_sure_of_images();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let stack = StackName::new(format!("cotest-{}-{number}", std::process::id()));
        Self { docker: docker(), stack }
    }

    /// A name that is this test's alone.
    pub(crate) fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.stack)
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (labels::PROJECT.to_owned(), self.stack.to_string()),
            (labels::STACK.to_owned(), self.stack.to_string()),
        ])
    }

    /// A container that sleeps until it is told to stop.
    pub(crate) fn sleeper(&self, part: &str) -> NewContainer {
        let command = ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"];
        let spec = ContainerSpec {
            image: BUSYBOX.to_owned(),
            command: Some(command.map(str::to_owned).to_vec()),
            ..ContainerSpec::default()
        };
        self.container(part, spec)
    }

    pub(crate) fn container(&self, part: &str, spec: ContainerSpec) -> NewContainer {
        let mut all = self.labels();
        all.insert(labels::SERVICE.to_owned(), part.to_owned());
        all.extend(spec.labels.clone());
        NewContainer {
            name: self.name(part),
            replica: Replica { service: part.into(), number: 1 },
            spec,
            resources: Resources::default(),
            labels: all,
            networks: BTreeMap::new(),
        }
    }

    /// Creates and starts.
    pub(crate) async fn run(&self, new: &NewContainer) -> Container {
        let id = self.docker.create_container(new).await.unwrap();
        self.docker.start_container(&id).await.unwrap();
        self.look(&id).await
    }

    pub(crate) async fn look(&self, id: &ContainerId) -> Container {
        self.docker.inspect_container(id).await.unwrap().unwrap()
    }

    /// Makes a network; its name and id.
    pub(crate) async fn network(&self, part: &str) -> (String, String) {
        let network = desired::Network { name: self.name(part), ..desired::Network::default() };
        let id = self.docker.create_network(&network, &self.labels()).await.unwrap();
        (network.name, id)
    }
}

pub(crate) fn docker() -> Docker {
    Docker::find(None, std::env::vars().collect()).unwrap()
}

/// A client of the tests' own, for what the operator never does.
pub(crate) fn bollard() -> bollard::Docker {
    bollard::Docker::connect_with_defaults().unwrap()
}

impl Drop for World {
    fn drop(&mut self) {
        let stack = self.stack.to_string();
        // A thread of its own: the test's runtime is busy with dropping us.
        let cleaned = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(clean(&stack));
        });
        assert!(
            cleaned.join().is_ok() || std::thread::panicking(),
            "what the test made could not be removed"
        );
    }
}

async fn clean(stack: &str) {
    let docker = bollard();
    let ours = BTreeMap::from([("label", vec![format!("{}={stack}", labels::PROJECT)])]);
    let filters = ours.into_iter().map(|(key, values)| (key.to_owned(), values)).collect();
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    for container in docker.list_containers(Some(options)).await.unwrap() {
        let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let _gone = docker.remove_container(&container.id.unwrap(), Some(force)).await;
    }
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    for network in docker.list_networks(Some(options)).await.unwrap() {
        docker.remove_network(&network.id.unwrap()).await.unwrap();
    }
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    for volume in docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default() {
        docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await.unwrap();
    }
    let _none = docker.remove_image(&format!("{stack}-image"), None::<RemoveImageOptions>, None).await;
}
