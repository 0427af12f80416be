//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// browse opens a page in a headless browser and returns its DOM.
func browse(t *testing.T, page string) string {
	t.Helper()
	return string(harness.Must(t, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--dump-dom", "file://"+page))
}

// numberOf is the number that the element with the id shows, or -1.
func numberOf(dom, id string) int {
	m := regexp.MustCompile(` id="` + regexp.QuoteMeta(id) + `"[^>]*>([0-9]+)<`).FindStringSubmatch(dom)
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return -1
	}
	return n
}

// manyObjects makes namespaces, pods and workloads of the size that real ones
// have. The pods have three containers of some 300 images.
func manyObjects(t *testing.T, namespaces, pods, workloads int) []kubeobject.Object {
	t.Helper()
	var all []kubeobject.Object
	add := func(apiVersion, kind, namespace, name string, body map[string]any) {
		meta := map[string]any{"name": name, "labels": map[string]string{"app": name, "pod-template-hash": "6d5f8c7b9", "app.kubernetes.io/part-of": "load"},
			"annotations": map[string]string{
				"k8s.ovn.org/pod-networks":                 `{"default":{"ip_addresses":["10.128.2.15/23"],"mac_address":"0a:58:0a:80:02:0f","gateway_ips":["10.128.2.1"],"routes":[{"dest":"10.128.0.0/14","nextHop":"10.128.2.1"}]}}`,
				"openshift.io/scc":                         "restricted-v2",
				"seccomp.security.alpha.kubernetes.io/pod": "runtime/default",
			}}
		if namespace != "" {
			meta["namespace"] = namespace
		}
		body["apiVersion"], body["kind"], body["metadata"] = apiVersion, kind, meta
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		o, err := kubeobject.Parse(raw, "", "")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	ns := func(i int) string { return fmt.Sprintf("load-%03d", i%namespaces) }
	for i := range namespaces {
		add("v1", "Namespace", "", ns(i), map[string]any{})
	}
	for i := range workloads {
		add("apps/v1", "Deployment", ns(i), fmt.Sprintf("app-%05d", i), map[string]any{"spec": map[string]any{
			"replicas": 0, "selector": map[string]any{"matchLabels": map[string]string{"app": "x"}},
			"template": map[string]any{"metadata": map[string]any{"labels": map[string]string{"app": "x"}}, "spec": loadSpec(i)},
		}})
	}
	for i := range pods {
		add("v1", "Pod", ns(i), fmt.Sprintf("app-%05d-6d5f8c7b9-x%04d", i%workloads, i), map[string]any{"spec": loadSpec(i), "status": loadStatus(i)})
	}
	return all
}

func loadImage(i int) string {
	i %= 300
	return fmt.Sprintf("quay.io/load/image-%03d@sha256:%x", i, sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
}

func loadSpec(i int) map[string]any {
	var containers []map[string]any
	for c := range 3 {
		var env []map[string]any
		for e := range 12 {
			env = append(env, map[string]any{"name": fmt.Sprintf("SETTING_%d", e), "value": fmt.Sprintf("https://service-%d.load.svc.cluster.local:8443/path", e)})
		}
		containers = append(containers, map[string]any{
			"name": fmt.Sprintf("container-%d", c), "image": loadImage(i + c), "imagePullPolicy": "IfNotPresent", "env": env,
			"command":         []string{"/usr/bin/app", "--config=/etc/app/config.yaml", "--v=2"},
			"resources":       map[string]any{"requests": map[string]string{"cpu": "10m", "memory": "64Mi"}},
			"livenessProbe":   map[string]any{"httpGet": map[string]any{"path": "/healthz", "port": 8443, "scheme": "HTTPS"}},
			"volumeMounts":    []map[string]any{{"name": "config", "mountPath": "/etc/app"}, {"name": "tls", "mountPath": "/etc/tls"}},
			"securityContext": map[string]any{"allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []string{"ALL"}}},
		})
	}
	return map[string]any{
		"containers":  containers,
		"tolerations": []map[string]any{{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}},
		"volumes": []map[string]any{
			{"name": "config", "configMap": map[string]any{"name": "config"}}, {"name": "tls", "secret": map[string]any{"secretName": "tls"}},
		},
	}
}

func loadStatus(i int) map[string]any {
	var statuses, conditions []map[string]any
	for c := range 3 {
		statuses = append(statuses, map[string]any{
			"name": fmt.Sprintf("container-%d", c), "image": loadImage(i + c), "imageID": loadImage(i + c), "ready": true, "restartCount": 0,
			"containerID": fmt.Sprintf("cri-o://%064x", i), "started": true,
			"state": map[string]any{"running": map[string]any{"startedAt": "2026-01-01T00:00:00Z"}},
		})
	}
	for _, kind := range []string{"Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		conditions = append(conditions, map[string]any{"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"})
	}
	return map[string]any{"phase": "Running", "podIP": "10.128.2.15", "hostIP": "10.0.0.5", "containerStatuses": statuses, "conditions": conditions}
}
