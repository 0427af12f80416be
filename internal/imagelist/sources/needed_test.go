package sources

import (
	"errors"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/store"
)

const needed = `
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"acme"},"spec":{"containers":[{"name":"c","image":"quay.io/acme/web@` + sum + `"}]},"status":{"phase":"Running"}}
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"done","namespace":"acme"},"spec":{"containers":[{"name":"c","image":"quay.io/acme/done@` + sum + `"}]},"status":{"phase":"Succeeded"}}
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"short","namespace":"acme"},"spec":{"template":{"spec":{"containers":[{"name":"c","image":"nginx"}]}}}}
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"wrong","namespace":"acme"},"spec":{"template":{"spec":{"containers":[{"name":"c","image":"quay.io/ACME"}]}}}}
{"apiVersion":"config.openshift.io/v1","kind":"ClusterVersion","metadata":{"name":"version"},"status":{"desired":{"version":"4.99.1","image":"quay.io/acme/release@` + sum + `"}}}
`

func TestNeeded(t *testing.T) {
	list, err := Sources{Files: []File{text("all.json", needed)}}.Needed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list.Entries() {
		got = append(got, e.Ref+" "+e.From[0].String())
	}
	want := "nginx Deployment acme/short, container c\n" +
		"quay.io/acme/release@" + sum + " ClusterVersion version, desired release\n" +
		"quay.io/acme/web@" + sum + " Pod acme/web, container c"
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestNeededIncomplete(t *testing.T) {
	_, err := Sources{Cluster: walker{}}.Needed(t.Context())
	var open *IncompleteError
	if !errors.As(err, &open) || len(open.Problems) != 1 || !errors.Is(open.Problems[0], errNone) ||
		!errors.Is(err, store.ErrPrecondition) || !strings.Contains(err.Error(), errNone.Error()) {
		t.Errorf("%v", err)
	}
	away := errors.New("away")
	if _, err := (Sources{Cluster: walker{err: away}}).Needed(t.Context()); !errors.Is(err, away) {
		t.Errorf("%v, want that the cluster is away", err)
	}
}
