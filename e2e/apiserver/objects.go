//go:build e2e

package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// resource is how a kind is found in the API.
type resource struct {
	path       string // without namespace and resource
	name       string
	namespaced bool
}

// LoadOpenShift defines OpenShift's kinds, as the API module has them, and those
// that are served by other programs in a real cluster, without their validation.
func (s *Server) LoadOpenShift() {
	s.t.Helper()
	module := s.apiModule()
	for _, dir := range crdDirs() {
		files, err := filepath.Glob(filepath.Join(module, dir, "*.crd.yaml"))
		if err != nil || len(files) == 0 {
			s.t.Fatalf("no definitions in %s: %v", dir, err)
		}
		for _, file := range files {
			if variant(filepath.Base(file)) {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				s.t.Fatal(err)
			}
			s.define(data)
		}
	}
	for _, k := range []struct{ group, version, kind, plural string }{
		{"apps.openshift.io", "v1", "DeploymentConfig", "deploymentconfigs"},
		{"image.openshift.io", "v1", "ImageStream", "imagestreams"},
		{"operators.coreos.com", "v1alpha1", "ClusterServiceVersion", "clusterserviceversions"},
		{"operators.coreos.com", "v1alpha1", "CatalogSource", "catalogsources"},
		{"olm.operatorframework.io", "v1", "ClusterCatalog", "clustercatalogs"},
		{"example.com", "v1", "Widget", "widgets"},
	} {
		scope := "Namespaced"
		if k.kind == "ClusterCatalog" {
			scope = "Cluster"
		}
		s.define([]byte(fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %s.%s, annotations: {api-approved.kubernetes.io: unapproved}}
spec:
  group: %s
  names: {kind: %s, plural: %s, singular: %s, listKind: %sList}
  scope: %s
  versions:
  - {name: %s, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, k.plural, k.group, k.group, k.kind, k.plural, strings.ToLower(k.kind), k.kind, scope, k.version)))
	}
	s.discover()
}

// apiModule is the directory of OpenShift's API module. Nothing that is built
// imports its definitions, so they may have to be downloaded first.
func (s *Server) apiModule() string {
	s.t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", "github.com/openshift/api")
	cmd.Dir = filepath.Join("tools", "apiserver")
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("downloading OpenShift's API module: %v\n%s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil || module.Dir == "" {
		s.t.Fatalf("no directory of OpenShift's API module in %s: %v", out, err)
	}
	return module.Dir
}

// define makes one resource definition; one that is there already stays.
func (s *Server) define(text []byte) {
	s.t.Helper()
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		s.t.Fatal(err)
	}
	code, answer := s.request(s.t.Context(), http.MethodPost, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "application/json", data)
	if code != http.StatusCreated && code != http.StatusConflict {
		s.t.Fatalf("defining a resource: %d %s", code, answer)
	}
}

// discover reads which kinds there are, until the last definition is served.
func (s *Server) discover() {
	s.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		s.LoadKinds()
		if _, ok := s.kinds["Widget.example.com"]; ok {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal("the definitions are not served")
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// LoadKinds reads which kinds there are now: Create and Fill know those.
func (s *Server) LoadKinds() {
	s.t.Helper()
	s.kinds = make(map[string]resource)
	s.readGroup("/api/v1", "")
	_, data := s.request(s.t.Context(), http.MethodGet, "/apis", "", nil)
	var groups struct {
		Groups []struct {
			Versions []struct {
				GroupVersion string `json:"groupVersion"`
			} `json:"versions"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(data, &groups); err != nil {
		s.t.Fatal(err)
	}
	for _, g := range groups.Groups {
		for _, v := range g.Versions {
			s.readGroup("/apis/"+v.GroupVersion, strings.Split(v.GroupVersion, "/")[0])
		}
	}
}

func (s *Server) readGroup(path, group string) {
	_, data := s.request(s.t.Context(), http.MethodGet, path, "", nil)
	var list struct {
		Resources []struct {
			Name       string `json:"name"`
			Kind       string `json:"kind"`
			Namespaced bool   `json:"namespaced"`
		} `json:"resources"`
	}
	if json.Unmarshal(data, &list) != nil {
		return // not served yet
	}
	for _, r := range list.Resources {
		kind := strings.TrimSuffix(r.Kind+"."+group, ".")
		if _, better := s.kinds[kind]; !better && !strings.Contains(r.Name, "/") {
			s.kinds[kind] = resource{path, r.Name, r.Namespaced}
		}
	}
}

// path is where the objects of o's kind and namespace are.
func (s *Server) path(o kubeobject.Object) (string, error) {
	r, ok := s.kinds[o.GroupKind()]
	if !ok {
		return "", fmt.Errorf("%s: the server has no kind %s", o, o.GroupKind())
	}
	path := r.path
	if r.namespaced {
		path += "/namespaces/" + o.Metadata.Namespace
	}
	return path + "/" + r.name, nil
}

// Delete removes an object.
func (s *Server) Delete(ctx context.Context, o kubeobject.Object) error {
	path, err := s.path(o)
	if err != nil {
		return err
	}
	if code, answer := s.request(ctx, http.MethodDelete, path+"/"+o.Metadata.Name, "", nil); code != http.StatusOK {
		return fmt.Errorf("removing %s: %d %s", o, code, answer)
	}
	return nil
}

// Create makes an object, and gives it the status that it has.
func (s *Server) Create(ctx context.Context, o kubeobject.Object) error {
	path, err := s.path(o)
	if err != nil {
		return err
	}
	code, answer := s.request(ctx, http.MethodPost, path, "application/json", o.Raw)
	if code != http.StatusCreated {
		return fmt.Errorf("making %s: %d %s", o, code, answer)
	}
	var status struct {
		Status json.RawMessage `json:"status"`
	}
	if err := o.Decode(&status); err != nil || status.Status == nil {
		return err
	}
	// A patch could not set what is null.
	var made map[string]json.RawMessage
	if err := json.Unmarshal(answer, &made); err != nil {
		return err
	}
	made["status"] = status.Status
	whole, err := json.Marshal(made)
	if err != nil {
		return err
	}
	code, answer = s.request(ctx, http.MethodPut, path+"/"+o.Metadata.Name+"/status", "application/json", whole)
	if code != http.StatusOK && code != http.StatusNotFound {
		return fmt.Errorf("status of %s: %d %s", o, code, answer)
	}
	return nil
}

// Fill makes all objects of text, YAML documents, one after the other.
func (s *Server) Fill(text string) {
	s.t.Helper()
	err := kubeobject.Read(strings.NewReader(text), func(o kubeobject.Object) error { return s.Create(s.t.Context(), o) })
	if err != nil {
		s.t.Fatal(err)
	}
}

// FillMany makes objects, several at a time.
func (s *Server) FillMany(objects []kubeobject.Object) {
	s.t.Helper()
	g, ctx := errgroup.WithContext(s.t.Context())
	g.SetLimit(16)
	for _, o := range objects {
		g.Go(func() error { return s.Create(ctx, o) })
	}
	if err := g.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

// Token makes a token of a service account, as `oc create token` does.
func (s *Server) Token(namespace, account string) string {
	s.t.Helper()
	code, answer := s.request(s.t.Context(), http.MethodPost,
		"/api/v1/namespaces/"+namespace+"/serviceaccounts/"+account+"/token", "application/json",
		[]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`))
	var v struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	if err := json.Unmarshal(answer, &v); err != nil || v.Status.Token == "" {
		s.t.Fatalf("token of %s/%s: %d %s", namespace, account, code, answer)
	}
	return v.Status.Token
}
