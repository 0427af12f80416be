//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/apiserver"
)

// pullSecret is a secret of imagePullSecrets for the registry of the images. serve
// asks for no password.
const pullSecret = `apiVersion: v1
kind: Secret
metadata: {name: pull, namespace: default}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths": {"quay.io": {"auth": "dXNlcjpwYXNzd29yZA=="}}}'}
`

// credentials is kubelet's verification of who may use an image that is on the node.
func credentials(policy string) string {
	return "featureGates: {KubeletEnsureSecretPulledImages: true}\nimagePullCredentialsVerificationPolicy: " + policy
}

// testAPI runs pods of an API server with a scheduler and controllers: by digest and tag, a
// CronJob's, and with kubelet's verification of credentials on. The node has only lo: the
// test connects its API server there.
//
// Slot a holds the images as the form of the round, slot b another release as a directory:
// pods of both run side by side.
func (c *crioProof) testAPI(t *testing.T, next *crioImages) {
	k := newKubeNode(t, c.images.pause)
	server := apiserver.Start(t)
	k.forward(strings.TrimPrefix(server.URL, "https://"))
	server.LoadKinds()
	server.Schedule()
	c.fill(k.node, c.images.bundle)
	k.run("reseal", next.bundle, "--root", k.path("slots"), "--format", formatDir)
	k.pullHere()
	k.start()
	k.api = server.Admin()
	k.startKubelet("")
	server.Fill(fmt.Sprintf(`apiVersion: batch/v1
kind: CronJob
metadata: {name: minutely, namespace: default}
spec:
  schedule: "* * * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, hostNetwork: true, automountServiceAccountToken: false,
    containers: [{name: c, image: %q, command: [/bin/true]}]}}}}
---
%s`, c.images.tagged, pullSecret))
	start := func(name, image, policy, more string) {
		t.Helper()
		server.Fill(podText(name, sleeper(image, policy, "")+more))
	}
	const secret = "  imagePullSecrets: [{name: pull}]\n"
	start("by-digest", c.images.app, "IfNotPresent", "")
	start("by-tag", c.images.tagged, "Never", secret)
	start("of-a-directory", next.app, "IfNotPresent", "")
	k.isRunning("by-digest")
	k.isRunning("of-a-directory")
	k.isRunning("by-tag")

	// Preloaded images need no credentials, and no registry.
	k.stopKubelet(syscall.SIGTERM)
	k.startKubelet(credentials("NeverVerifyPreloadedImages"))
	start("preloaded", c.images.listed, "IfNotPresent", secret)
	start("preloaded-bare", c.images.listed, "IfNotPresent", "")
	k.isRunning("preloaded")
	k.isRunning("preloaded-bare")
	k.wait("a pod of the CronJob has ended well", func() bool {
		pod, found := k.podOf("minutely-")
		return found && pod.Status.Phase == "Succeeded"
	})

	// AlwaysVerify makes kubelet ask the registry again: only serve can answer.
	k.stopKubelet(syscall.SIGTERM)
	k.startKubelet(credentials("AlwaysVerify"))
	start("verified", c.images.app, "IfNotPresent", secret)
	t.Logf("AlwaysVerify without serve: %s", k.waits("verified", "ErrImagePull", "ImagePullBackOff"))
	k.serve()
	k.isRunning("verified")

	// What was pulled with a secret is not preloaded any more for others.
	k.stopKubelet(syscall.SIGTERM)
	k.startKubelet(credentials("NeverVerifyPreloadedImages"))
	start("after-pull", c.images.app, "IfNotPresent", "")
	k.isRunning("after-pull")
	k.noLayers()
}

// podOf finds a pod by what its name begins with.
func (k *kubeNode) podOf(prefix string) (kubePod, bool) {
	for _, p := range k.kubePods() {
		if strings.HasPrefix(p.Metadata.Name, prefix) {
			return p, true
		}
	}
	return kubePod{}, false
}
