package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// serveCluster is an API server over the objects in the files of a directory, which it reads
// for each answer, until the script ends; kubeconfig names it: cluster DIR.
func serveCluster(ts *testscript.TestScript, _ bool, args []string) {
	server := httptest.NewServer(objectDir(ts.MkAbs(args[0])))
	ts.Defer(server.Close)
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q}}]
contexts: [{name: x, context: {cluster: c}}]
current-context: x
`, server.URL)
	ts.Check(os.WriteFile(ts.MkAbs("kubeconfig"), []byte(config), 0o600))
}

// objectDir answers discovery and lists, which is all that nodeseal asks.
type objectDir string

// ServeHTTP implements http.Handler.
func (d objectDir) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	objects, err := d.read()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var answer any
	switch {
	case r.URL.Path == "/api":
		answer = map[string]any{"versions": []string{"v1"}}
	case r.URL.Path == "/apis":
		answer = map[string]any{"kind": "APIGroupList", "groups": groups(objects)}
	case parts[0] == "api" && len(parts) == 2:
		answer = resources(objects, "v1")
	case parts[0] == "apis" && len(parts) == 3:
		answer = resources(objects, parts[1]+"/"+parts[2])
	default: // …/NAME or …/namespaces/NAMESPACE/NAME
		items := []json.RawMessage{}
		for _, o := range objects {
			if plural(o) == parts[len(parts)-1] {
				items = append(items, o.Raw)
			}
		}
		answer = map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{}, "items": items}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (d objectDir) read() (objects []kubeobject.Object, err error) {
	paths, err := filepath.Glob(filepath.Join(string(d), "*"))
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		err = kubeobject.Read(f, func(o kubeobject.Object) error { objects = append(objects, o); return nil })
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return objects, err
}

func plural(o kubeobject.Object) string { return strings.ToLower(o.Kind) + "s" }

// groups are the API groups of objects, resources the kinds of one version.
func groups(objects []kubeobject.Object) []any {
	seen, out := []string{}, []any{}
	for _, o := range objects {
		group, version, ok := strings.Cut(o.APIVersion, "/")
		if ok && !slices.Contains(seen, group) {
			seen = append(seen, group)
			gv := map[string]string{"groupVersion": o.APIVersion, "version": version}
			out = append(out, map[string]any{"name": group, "versions": []any{gv}, "preferredVersion": gv})
		}
	}
	return out
}

func resources(objects []kubeobject.Object, version string) map[string]any {
	seen, out := []string{}, []any{}
	for _, o := range objects {
		if o.APIVersion == version && !slices.Contains(seen, o.Kind) {
			seen = append(seen, o.Kind)
			out = append(out, map[string]any{"name": plural(o), "kind": o.Kind, "namespaced": o.Metadata.Namespace != "", "verbs": []string{"get", "list"}})
		}
	}
	return map[string]any{"kind": "APIResourceList", "groupVersion": version, "resources": out}
}
