//! Limits and reservations that the engine refuses, or that defeat each other.

use super::{Judge, with_second};
use crate::compose::errors::Diagnostic;
use crate::stack::faults::Findings;
use crate::stack::manifest::Spec;
use crate::stack::quantity::{ByteSize, Cpus};

/// The least memory that Docker gives a container.
const LEAST_MEMORY: i64 = 6 << 20;

impl Judge<'_> {
    pub(super) fn processors(&self, spec: &Spec, findings: &mut Findings) {
        let overlay = spec.services.get(self.name);
        let reservation = overlay
            .and_then(|overlay| overlay.resources.reservations.cpus)
            .map(Cpus::nanos)
            .or_else(|| self.reserved_in_compose());
        let limit = self.service.resources.nano_cpus;
        let limit_at = |message: String| {
            self.places.deciding(
                self.name,
                &["resources", "limits", "cpus"],
                &[&["deploy", "resources", "limits", "cpus"], &["cpus"]],
                message,
            )
        };
        if let Some(nanos) = limit.filter(|nanos| *nanos <= 0) {
            let message = format!("service `{}` cannot run on {} processors", self.name, cpus(nanos));
            findings.faults.push(limit_at(message).help("give more than 0, or remove the limit"));
        }
        let reserved_at = |message: String| {
            self.places.deciding(
                self.name,
                &["resources", "reservations", "cpus"],
                &[&["deploy", "resources", "reservations", "cpus"]],
                message,
            )
        };
        if let Some(nanos) = reservation.filter(|nanos| *nanos <= 0) {
            let message = format!("service `{}` cannot reserve {} processors", self.name, cpus(nanos));
            findings.faults.push(reserved_at(message).help("give more than 0, or remove the reservation"));
        }
        if let (Some(limit), Some(reserved)) = (limit, reservation)
            && limit > 0
            && reserved > limit
        {
            let message = format!(
                "service `{}` reserves {} processors, more than its limit of {}",
                self.name,
                cpus(reserved),
                cpus(limit)
            );
            let fault = with_second(reserved_at(message), &limit_at(String::new()), "the limit");
            findings.faults.push(fault.help("raise the limit or lower the reservation"));
        }
    }

    fn reserved_in_compose(&self) -> Option<i64> {
        let service = self.places.project.model.services.get(self.name)?;
        let reserved = service.deploy.as_ref()?.resources.reservations.as_ref()?;
        (reserved.cpus.0 != 0.0).then(|| reserved.cpus.nano())
    }

    pub(super) fn memory_limit_at(&self, message: String) -> Diagnostic {
        self.places.deciding(
            self.name,
            &["resources", "limits", "memory"],
            &[&["deploy", "resources", "limits", "memory"], &["mem_limit"]],
            message,
        )
    }

    pub(super) fn memory(&self, findings: &mut Findings) {
        let resources = &self.service.resources;
        let reserved_at = |message: String| {
            self.places.deciding(
                self.name,
                &["resources", "reservations", "memory"],
                &[&["deploy", "resources", "reservations", "memory"], &["mem_reservation"]],
                message,
            )
        };
        let least = ByteSize::from_bytes(LEAST_MEMORY);
        let (limit, reserved) = (resources.memory, resources.memory_reservation);
        if let Some(bytes) = limit.filter(|bytes| *bytes < LEAST_MEMORY) {
            let shown = ByteSize::from_bytes(bytes);
            let message = format!("service `{}` is limited to {shown} of memory", self.name);
            findings.faults.push(self.memory_limit_at(message).help(format!("Docker takes {least} or more")));
        }
        if let Some(bytes) = reserved.filter(|bytes| *bytes < LEAST_MEMORY) {
            let shown = ByteSize::from_bytes(bytes);
            let message = format!("service `{}` reserves {shown} of memory", self.name);
            findings.faults.push(reserved_at(message).help(format!("Docker takes {least} or more")));
        }
        if let (Some(limit), Some(reserved)) = (limit, reserved)
            && reserved > limit
        {
            let message = format!(
                "service `{}` reserves {} of memory, more than its limit of {}",
                self.name,
                ByteSize::from_bytes(reserved),
                ByteSize::from_bytes(limit)
            );
            let fault = with_second(reserved_at(message), &self.memory_limit_at(String::new()), "the limit");
            findings.faults.push(fault.help("raise the limit or lower the reservation"));
        }
        self.swap(findings);
    }

    fn swap(&self, findings: &mut Findings) {
        let resources = &self.service.resources;
        let at = |message: String| {
            let overlay = ["resources", "limits", "memorySwap"];
            self.places.deciding(self.name, &overlay, &[&["memswap_limit"]], message)
        };
        if let Some(swap) = resources.memory_swap.filter(|swap| *swap < -1 || *swap == 0) {
            let message = format!("service `{}` cannot have {swap} bytes of memory and swap", self.name);
            findings
                .faults
                .push(at(message).help("give as much as the memory limit or more, or -1 for no limit"));
        }
        let Some(swap) = resources.memory_swap.filter(|swap| *swap > 0) else { return };
        match resources.memory {
            None => {
                let message = format!("service `{}` limits swap but not memory", self.name);
                findings
                    .faults
                    .push(at(message).help("add a memory limit; this one is for the two together"));
            }
            Some(memory) if swap < memory => {
                let message = format!(
                    "service `{}` limits memory and swap together to {}, less than its memory limit of {}",
                    self.name,
                    ByteSize::from_bytes(swap),
                    ByteSize::from_bytes(memory)
                );
                findings.faults.push(at(message).help("this limit counts the memory in: raise it"));
            }
            Some(_) => {}
        }
    }

    pub(super) fn pids(&self, findings: &mut Findings) {
        let Some(pids) = self.service.resources.pids_limit.filter(|pids| *pids < -1 || *pids == 0) else {
            return;
        };
        let message = format!("service `{}` cannot run with {pids} processes", self.name);
        let fault = self.places.deciding(
            self.name,
            &["resources", "limits", "pids"],
            &[&["deploy", "resources", "limits", "pids"], &["pids_limit"]],
            message,
        );
        findings.faults.push(fault.help("give 1 or more, or -1 for no limit"));
    }

    /// Redis that may use more than its container is killed before it evicts.
    pub(super) fn redis_memory(&self, findings: &mut Findings) {
        let Some(limit) = self.service.resources.memory else { return };
        let maxmemory = self
            .service
            .live
            .as_ref()
            .and_then(|live| live.settings.get("maxmemory"))
            .and_then(|bytes| bytes.parse::<i64>().ok());
        if let Some(maxmemory) = maxmemory.filter(|maxmemory| *maxmemory > limit) {
            let message = format!(
                "redis in service `{}` may hold {} of keys, more than its container's memory limit of {}",
                self.name,
                ByteSize::from_bytes(maxmemory),
                ByteSize::from_bytes(limit)
            );
            let finding = self.places.deciding(self.name, &["redis", "maxmemory"], &[&["command"]], message);
            let finding = with_second(finding, &self.memory_limit_at(String::new()), "the limit");
            findings.warnings.push(
                finding.help(
                    "it is killed before it evicts: raise the limit well above maxmemory, or lower that",
                ),
            );
        }
    }
}

fn cpus(nanos: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown to a person")]
    let processors = nanos as f64 / 1e9;
    processors.to_string()
}
