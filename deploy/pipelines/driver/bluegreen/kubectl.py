"""Kubernetes: two Deployments, and one Service whose selector says which of them has the traffic."""

from __future__ import annotations

import json
from typing import Any

from .commands import Commands
from .errors import Failed
from .probe import complaint
from .state import Release
from .target import Kubectl, Target

SERVICE_OF = "kubernetes.io/service-name"


class KubectlBackend:
    """The back end `kubectl`. Deployments and Service exist; docs/deploying.md has a manifest for them."""

    def __init__(self, target: Target, settings: Kubectl, commands: Commands) -> None:
        self._target, self._settings, self._commands = target, settings, commands

    def install(self, colour: str, release: Release) -> None:
        """Give the colour's Deployment its image and its replicas, and wait until all of them are ready."""
        deployment = self._deployment(colour)
        within = f"{self._settings.command_timeout:.0f}s"
        self._kubectl("set", "image", deployment, f"{self._settings.container}={release.image}@{release.digest}")
        marks = (f"slo-watchdog/commit={release.commit}", f"slo-watchdog/deployed-by={release.by}")
        self._kubectl("annotate", deployment, "--overwrite", *marks)
        self._kubectl("scale", deployment, f"--replicas={self._settings.replicas}")
        self._kubectl("rollout", "status", deployment, f"--timeout={within}")

    def remove(self, colour: str) -> None:
        """Let no pod of the colour be; each ends as its grace period allows."""
        self._kubectl("scale", self._deployment(colour), "--replicas=0")

    def runs(self, colour: str) -> str | None:
        """The digest of the image that the Deployment asks for; None while it asks for no pods."""
        found = self._get(self._deployment(colour))
        if not found["spec"].get("replicas", 1):
            return None
        for container in found["spec"]["template"]["spec"]["containers"]:
            if container["name"] == self._settings.container:
                return str(container["image"]).rpartition("@")[2]
        raise Failed(f"{self._deployment(colour)} has no container {self._settings.container}")

    def ailing(self, colour: str, release: Release) -> str:
        """Whether all pods are of this build and available, and what the colour's own address answers if it has one."""
        found = self._get(self._deployment(colour))
        status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
        if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
            return f"{self._deployment(colour)} was not looked at by its controller yet"
        for name in ("replicas", "updatedReplicas", "availableReplicas"):
            if status.get(name, 0) != wanted or not wanted:
                return f"{self._deployment(colour)} has {status.get(name, 0)} {name}, expected {wanted or 'at least 1'}"
        url = self._target.urls[colour]
        return complaint(url, self._target.health, colour, release) if url else ""

    def point(self, colour: str) -> None:
        """Change the Service's selector."""
        patch = json.dumps({"spec": {"selector": {self._settings.label: colour}}}, separators=(",", ":"))
        self._kubectl("patch", f"service/{self._settings.service}", "--type=merge", "-p", patch)

    def pointed(self) -> str | None:
        """What the selector says."""
        found = self._get(f"service/{self._settings.service}")["spec"].get("selector", {}).get(self._settings.label)
        return found if found in self._target.urls else None

    def astray(self, colour: str, release: Release) -> str:
        """Whether the Service has ready endpoints, and only pods of this colour."""
        text = self._kubectl("get", "endpointslices", "-l", f"{SERVICE_OF}={self._settings.service}", "-o", "json")
        ready = [
            str(one.get("targetRef", {}).get("name", ""))
            for item in _parsed(text)["items"]
            for one in item.get("endpoints") or ()
            if one.get("conditions", {}).get("ready", True)
        ]
        strangers = [pod for pod in ready if not pod.startswith(f"{self._settings.name}-{colour}-")]
        if strangers:
            return f"service/{self._settings.service} still leads to {', '.join(strangers)}"
        return "" if ready else f"service/{self._settings.service} leads to no ready pod of {release.digest}"

    def _deployment(self, colour: str) -> str:
        return f"deployment/{self._settings.name}-{colour}"

    def _get(self, what: str) -> dict[str, Any]:
        return _parsed(self._kubectl("get", what, "-o", "json"))

    def _kubectl(self, *words: str) -> str:
        context = (f"--context={self._settings.context}",) if self._settings.context else ()
        return self._commands.run(["kubectl", *context, f"--namespace={self._settings.namespace}", *words])


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Failed(f"`kubectl get -o json` did not print JSON: {text[:200]!r}") from error
    if not isinstance(found, dict):
        raise Failed(f"`kubectl get -o json` printed no object: {text[:200]!r}")
    return found
