package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// fakeServer is as much of an API server as a Client asks for.
type fakeServer struct {
	t       *testing.T
	objects map[string][]kubeobject.Object // by resource.group
	kinds   map[string]metav1.APIResource  // by resource.group; Group and Version are set
	// limit, where set, is the size of a page.
	limit int
	// deny says which lists are forbidden; namespace is "" for the whole cluster.
	deny func(resource, namespace string) bool
	// before is called before a list is answered; it answers where it returns true.
	before func(w http.ResponseWriter, resource, token string) bool
}

// newFake serves the small cluster.
func newFake(t *testing.T) *fakeServer {
	t.Helper()
	f, err := os.Open("../../../testdata/cluster/objects.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &fakeServer{t: t, objects: make(map[string][]kubeobject.Object), kinds: make(map[string]metav1.APIResource)}
	err = kubeobject.Read(f, func(o kubeobject.Object) error { s.add(o); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *fakeServer) add(o kubeobject.Object) {
	group, version, ok := strings.Cut(o.APIVersion, "/")
	if !ok {
		group, version = "", group
	}
	plural := strings.ToLower(o.Kind) + "s"
	if before, ok := strings.CutSuffix(plural, "ys"); ok {
		plural = before + "ies"
	}
	r := metav1.APIResource{
		Name: plural, Kind: o.Kind, Group: group, Version: version,
		Namespaced: o.Metadata.Namespace != "", Verbs: metav1.Verbs{"get", "list"},
	}
	name := kind{Resource: plural}.name()
	if group != "" {
		name += "." + group
	}
	s.kinds[name] = r
	s.objects[name] = append(s.objects[name], o)
}

// client returns a client of a server that serves s until the test's end.
func (s *fakeServer) client() (*Client, *httptest.Server) {
	server := httptest.NewServer(s)
	s.t.Cleanup(server.Close)
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		s.t.Fatal(err)
	}
	c.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return c, server
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/api":
		s.reply(w, metav1.APIVersions{Versions: []string{"v1"}})
	case r.URL.Path == "/apis":
		s.reply(w, s.groups())
	case parts[0] == "api" && len(parts) == 2:
		s.reply(w, s.resources("", "v1"))
	case parts[0] == "apis" && len(parts) == 3:
		s.reply(w, s.resources(parts[1], parts[2]))
	case parts[0] == "api":
		s.list(w, r, "", parts[2:])
	default:
		s.list(w, r, parts[1], parts[3:])
	}
}

func (s *fakeServer) reply(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Log(err)
	}
}

func (s *fakeServer) groups() metav1.APIGroupList {
	var list metav1.APIGroupList
	for _, r := range s.kinds {
		gv := metav1.GroupVersionForDiscovery{GroupVersion: r.Group + "/" + r.Version, Version: r.Version}
		if r.Group != "" && !slices.ContainsFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == r.Group }) {
			list.Groups = append(list.Groups, metav1.APIGroup{
				Name: r.Group, Versions: []metav1.GroupVersionForDiscovery{gv}, PreferredVersion: gv,
			})
		}
	}
	return list
}

func (s *fakeServer) resources(group, version string) metav1.APIResourceList {
	list := metav1.APIResourceList{GroupVersion: strings.TrimPrefix(group+"/"+version, "/")}
	for _, r := range s.kinds {
		if r.Group == group && r.Version == version {
			list.APIResources = append(list.APIResources, r)
		}
	}
	return list
}

// list answers the list of the resource that path names.
func (s *fakeServer) list(w http.ResponseWriter, r *http.Request, group string, path []string) {
	namespace := ""
	if path[0] == "namespaces" && len(path) == 3 {
		namespace, path = path[1], path[2:]
	}
	name := kind{Resource: path[0]}.name()
	if group != "" {
		name += "." + group
	}
	token := r.URL.Query().Get("continue")
	if s.before != nil && s.before(w, name, token) {
		return
	}
	if s.deny != nil && s.deny(name, namespace) {
		s.fail(w, http.StatusForbidden, metav1.StatusReasonForbidden, "")
		return
	}
	var items []json.RawMessage
	for _, o := range s.objects[name] {
		copied := o.Metadata.Labels["olm.copiedFrom"] != ""
		if (namespace == "" || o.Metadata.Namespace == namespace) && (!copied || r.URL.Query().Get("labelSelector") == "") {
			items = append(items, o.Raw)
		}
	}
	start, err := strconv.Atoi("0" + token)
	if err != nil || start > len(items) {
		s.fail(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, "")
		return
	}
	items, next := items[start:], ""
	if s.limit > 0 && len(items) > s.limit {
		items, next = items[:s.limit], strconv.Itoa(start+s.limit)
	}
	s.reply(w, map[string]any{
		"kind": s.kinds[name].Kind + "List", "apiVersion": "v1",
		"metadata": map[string]any{"continue": next}, "items": items,
	})
}

func (s *fakeServer) fail(w http.ResponseWriter, code int, reason metav1.StatusReason, next string) {
	w.WriteHeader(code)
	s.reply(w, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, ListMeta: metav1.ListMeta{Continue: next},
		Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: fmt.Sprint(reason),
	})
}
