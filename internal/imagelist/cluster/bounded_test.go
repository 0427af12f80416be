package cluster

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

func walk(t *testing.T, handler http.HandlerFunc) error {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := New(&rest.Config{Host: server.URL, BearerToken: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Walk(t.Context(), func(kubeobject.Object) {})
	return err
}

// A redirect to another host is refused: the token would go there.
func TestRedirect(t *testing.T) {
	t.Parallel()
	got := make(chan string, 100)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
	}))
	t.Cleanup(other.Close)
	err := walk(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
	})
	if !errors.Is(err, errRedirect) {
		t.Errorf("error %v", err)
	}
	if len(got) > 0 {
		t.Errorf("the other host was asked, with %q", <-got)
	}
}

// An answer without end is not read into memory.
func TestEndlessAnswer(t *testing.T) {
	for name, each := range map[string]string{"text": "x", "blanks": " ", "objects": "{},", "brackets": "["} {
		var err error
		took := memtest.Allocated(func() {
			err = walk(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				piece := strings.Repeat(each, 32<<10)
				for r.Context().Err() == nil {
					if _, err := io.WriteString(w, piece); err != nil {
						return
					}
				}
			})
		})
		if err == nil || took > 256<<20 {
			t.Errorf("%s: %d MiB, %.300v", name, took>>20, err)
		}
	}
}
