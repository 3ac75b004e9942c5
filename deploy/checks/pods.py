"""Rules on what runs in a cluster: locked down, probed, measured, labelled, and everything it refers to is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import variables
from common.contracts.topology import SERVICES
from kustomization import Stack
from tollgate.environment import SIMULATOR

PORTS = {service.name: service.port for service in (*SERVICES, SIMULATOR)}
_LABELS = ("name", "component", "part-of", "managed-by")
_POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_SETTLING_SECONDS = 10


@dataclass(frozen=True)
class Workload:
    """A Deployment, StatefulSet or Job of one container; ours are named after the service or job they run."""

    object: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.object['kind']} {self.service}"

    @property
    def service(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def pod(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.object["spec"]["template"]["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.object["spec"]["template"]["metadata"]["labels"]
        return labels

    @property
    def container(self) -> dict[str, Any]:
        container: dict[str, Any] = self.pod["containers"][0]
        return container

    @property
    def ports(self) -> dict[str, int]:
        """Port by name."""
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}


def workloads(stack: Stack) -> list[Workload]:
    """Everything that runs."""
    return [Workload(each) for each in stack.of_kind("Deployment", "StatefulSet", "Job")]


def environment(workload: Workload, stack: Stack) -> dict[str, str]:
    """What a container is given openly: config maps and values of its own."""
    given: dict[str, str] = {}
    for source in workload.container.get("envFrom", []):
        given |= stack.config.get(source.get("configMapRef", {}).get("name"), {})
    return given | {each["name"]: str(each["value"]) for each in workload.container.get("env", [])}


def faults(workload: Workload, stack: Stack) -> Iterator[str]:
    """What is wrong with one workload."""
    if len(workload.pod["containers"]) != 1:
        yield "has more than one container"
    yield from _insecure(workload)
    yield from _unmeasured(workload)
    yield from _missing_references(workload, stack)
    yield from _unselected(workload, stack)
    if workload.service in PORTS:
        yield from _unreachable(workload, stack)
    if workload.object["kind"] != "Job" and not _probes(workload):
        yield "has no startup, liveness and readiness probe"


def versions(stack: Stack, version: str, *, is_release: bool) -> Iterator[str]:
    """Images without a tag, or of another release."""
    for workload in workloads(stack):
        image = str(workload.container["image"])
        tag = stack.tags.get(image, image.partition(":")[2])
        if not tag or tag == "latest":
            yield f"{workload.name}: image {image} has no tag"
        elif is_release and image.startswith("tollgate/") and tag != version:
            yield f"{workload.name}: image {image} has tag {tag}, this release is {version}"
    used = {str(workload.container["image"]) for workload in workloads(stack)}
    yield from (f"image {image} gets a tag and is not used" for image in sorted(stack.tags.keys() - used))


def unlabelled(each: dict[str, Any]) -> Iterator[str]:
    """Which of the usual labels a rendered object lacks; config maps are generated and go by their name."""
    if each["kind"] == "ConfigMap":
        return
    found = each["metadata"].get("labels", {})
    for label in _LABELS:
        if f"app.kubernetes.io/{label}" not in found:
            yield f"{each['kind']} {each['metadata']['name']} has no label app.kubernetes.io/{label}"


def _insecure(workload: Workload) -> Iterator[str]:
    of_pod, of_container = workload.pod.get("securityContext", {}), workload.container.get("securityContext", {})
    yield from (f"pod: {name} should be {value}" for name, value in _POD.items() if of_pod.get(name) != value)
    yield from (
        f"container: {name} should be {value}" for name, value in _CONTAINER.items() if of_container.get(name) != value
    )
    if not of_pod.get("runAsUser"):
        yield "pod: runAsUser should be a number that is not root's"
    if workload.pod.get("automountServiceAccountToken") is not ("serviceAccountName" in workload.pod):
        yield "automountServiceAccountToken should be false, and true only with an account of its own"
    if workload.pod.get("enableServiceLinks") is not False:
        yield "enableServiceLinks should be false: its variables look like settings"
    if workload.object["kind"] == "Job" and not workload.object["spec"].get("ttlSecondsAfterFinished"):
        yield "has no ttlSecondsAfterFinished: the next release could not replace it"


def _unmeasured(workload: Workload) -> Iterator[str]:
    resources = workload.container.get("resources", {})
    for name in {"cpu", "memory"} - resources.get("requests", {}).keys():
        yield f"requests no {name}"
    if "memory" not in resources.get("limits", {}):
        yield "has no limit on memory"
    if "cpu" in resources.get("limits", {}) and workload.service == "gateway":
        yield "the gateway's CPU must not be limited"


def _missing_references(workload: Workload, stack: Stack) -> Iterator[str]:
    sources = workload.container.get("envFrom", [])
    maps = {source["configMapRef"]["name"] for source in sources if "configMapRef" in source}
    secrets = {
        source["secretRef"]["name"]
        for source in sources
        if "secretRef" in source and not source["secretRef"].get("optional")
    }
    volumes = {volume["name"]: volume for volume in workload.pod.get("volumes", [])}
    claims = {claim["metadata"]["name"] for claim in workload.object["spec"].get("volumeClaimTemplates", [])}
    mounts = {mount["name"] for mount in workload.container.get("volumeMounts", [])}
    maps |= {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
    yield from (f"there is no config map {name}" for name in sorted(maps - stack.config.keys()))
    own = {workload.service} if variables.secrets_of(workload.service) else set()
    if secrets != own:
        yield f"should have exactly its own Secret {sorted(own)}, has {sorted(secrets)}"
    for name in sorted(mounts ^ (volumes.keys() | claims)):
        yield f"volume {name} is mounted or declared, not both"


def _unselected(workload: Workload, stack: Stack) -> Iterator[str]:
    selecting = [each["spec"].get("selector") for each in stack.of_kind("Service")]
    wanted = [selector for selector in selecting if selector and selector.items() <= workload.labels.items()]
    selector = workload.object["spec"].get("selector", {}).get("matchLabels", {})
    if not selector.items() <= workload.labels.items():
        yield "its selector does not select its own pods"
    if workload.ports and len(wanted) != 1:
        yield f"{len(wanted)} Services select its pods, one should"


def _unreachable(workload: Workload, stack: Stack) -> Iterator[str]:
    port = PORTS[workload.service]
    if workload.ports != {"http": port}:
        yield f"its ports should be http {port}, as topology.py has it, not {workload.ports}"
    services = [each for each in stack.of_kind("Service") if each["metadata"]["name"] == workload.service]
    for each in services:
        if [(own["port"], own["targetPort"]) for own in each["spec"]["ports"]] != [(port, "http")]:
            yield f"its Service should lead {port} to http"
    paths = {"livenessProbe": "/livez", "startupProbe": "/livez", "readinessProbe": "/readyz"}
    for probe, path in paths.items():
        if workload.container.get(probe, {}).get("httpGet") != {"path": path, "port": "http"}:
            yield f"{probe} should ask {path} at http"
    if workload.service == "gateway":
        yield from _impatient(workload)


def _impatient(workload: Workload) -> Iterator[str]:
    from gateway.settings import GatewaySettings

    pause = workload.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    drain = int(GatewaySettings.model_fields["drain_seconds"].default)
    if not pause:
        yield "has no pause before it stops (preStop): calls that still come would be refused"
    if workload.pod["terminationGracePeriodSeconds"] < pause + drain + _SETTLING_SECONDS:
        yield f"would be killed before pause ({pause} s), drain ({drain} s) and journal ({_SETTLING_SECONDS} s) are over"


def _probes(workload: Workload) -> bool:
    return {"startupProbe", "livenessProbe", "readinessProbe"} <= workload.container.keys()
