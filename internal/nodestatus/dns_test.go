package nodestatus

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
)

// TestNames: DNS that does not answer and addresses of the node itself are told, on a node
// that sends pulls to nodeseal serve; each registry is looked up once.
func TestNames(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, conf string
		addrs      []netip.Addr
		err        error
		want       string
	}{
		{name: "an answer", conf: conf, addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		{name: "of /etc/hosts", conf: conf, addrs: []netip.Addr{netip.MustParseAddr("255.255.255.255")}},
		{name: "no such host", conf: conf, err: &net.DNSError{IsNotFound: true}},
		{name: "silence", conf: conf, err: &net.DNSError{IsTimeout: true}, want: "no answer within a second for quay.io"},
		{name: "the time is over", conf: conf, err: context.DeadlineExceeded, want: "no answer within a second for quay.io"},
		{name: "silence, no serve", conf: conf + ".missing", err: context.DeadlineExceeded},
		{name: "the node itself", conf: conf, addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, want: "quay.io has an address of 127.0.0.0/8"},
		{name: "the node itself, mapped", conf: conf, addrs: []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}, want: "quay.io has an address of 127.0.0.0/8"},
	} {
		asked := 0
		c := &collector{out: &Status{}, opts: Options{
			Path: func(string) string { return test.conf },
			Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
				asked++
				if host != "quay.io" {
					t.Errorf("%s: %s is looked up", test.name, host)
				}
				return test.addrs, test.err
			},
		}}
		c.slots = []*slot.Slot{{Store: &store.Store{References: []store.Reference{{Name: "quay.io/a/b:v1"}, {Name: "quay.io/a/c:v1"}}}}}
		c.names(t.Context())
		var got strings.Builder
		for _, w := range c.out.Warnings {
			got.WriteString(w.Message)
		}
		if (got.String() == "") != (test.want == "") || !strings.Contains(got.String(), test.want) {
			t.Errorf("%s: %q, want %q", test.name, got.String(), test.want)
		}
		if test.conf == conf && asked != 1 {
			t.Errorf("%s: looked up %d times, want once", test.name, asked)
		}
	}
}

// TestManyNames: a slot may name very many registries, of which some are looked up.
func TestManyNames(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	c := &collector{out: &Status{}, opts: Options{
		Path:   func(string) string { return conf },
		Lookup: func(context.Context, string) ([]netip.Addr, error) { asked.Add(1); return nil, nil },
	}}
	s := new(store.Store)
	for i := range 10 * maxHosts {
		s.References = append(s.References, store.Reference{Name: fmt.Sprintf("r%d.example/a/b:v1", i)})
	}
	c.slots = []*slot.Slot{{Store: s}}
	c.names(t.Context())
	if asked.Load() != maxHosts {
		t.Errorf("%d registries are looked up, want %d", asked.Load(), maxHosts)
	}
}
