package main

import (
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// receivers are the registries of scripts that run, by address.
var receivers sync.Map

// serveReceiver serves an empty registry that takes images until the script ends, sets MIRROR to
// its address: receiver [plain]. plain has no referrers API.
func serveReceiver(ts *testscript.TestScript, _ bool, args []string) {
	r := testregistry.NewReceiver(len(args) == 0)
	addr, stop, err := r.Serve()
	ts.Check(err)
	receivers.Store(addr, r)
	ts.Defer(func() { stop(); receivers.Delete(addr) })
	ts.Setenv("MIRROR", addr)
	ts.Setenv("RECEIVED_BEFORE", "0")
}

func receiverOf(ts *testscript.TestScript) *testregistry.Receiver {
	r, ok := receivers.Load(ts.Getenv("MIRROR"))
	if !ok {
		ts.Fatalf("no receiver was started")
	}
	return r.(*testregistry.Receiver)
}

// makeTrouble sets what goes wrong with the registry from now on: trouble NAME, or none.
func makeTrouble(ts *testscript.TestScript, _ bool, args []string) {
	f := testregistry.Troubles(args[0])
	if f == nil && args[0] != "none" {
		ts.Fatalf("unknown trouble %q", args[0])
	}
	receiverOf(ts).Trouble(f)
}

// countReceived looks for bytes of blobs that came since it was called last, and fails
// if they are none; ! received, if they are any.
func countReceived(ts *testscript.TestScript, neg bool, _ []string) {
	all := receiverOf(ts).Received()
	before, _ := strconv.ParseInt(ts.Getenv("RECEIVED_BEFORE"), 10, 64) // 0 at first
	ts.Setenv("RECEIVED_BEFORE", strconv.FormatInt(all, 10))
	if neg != (all == before) {
		ts.Fatalf("%d bytes of blobs came", all-before)
	}
}

// mirrorConf writes a registries.conf by which the made-up release is pulled from what a push
// with a prefix put there, and from nowhere else: mirrorconf FILE PREFIX.
func mirrorConf(ts *testscript.TestScript, _ bool, args []string) {
	conf := testregistry.RegistriesConf(samplerelease.Registry, ts.Getenv("MIRROR")+"/"+args[1])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(conf), 0o600))
}

// TestPushAttachments: signatures and referrers go along, whether the registry has the referrers
// API or not, and a second push adds none.
func TestPushAttachments(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	want := m.bundle("first", "--layers", "original")
	for name, api := range map[string]bool{"api": true, "index": false} {
		addr, stop, err := testregistry.NewReceiver(api).Serve()
		check(t, err)
		t.Cleanup(stop)
		for range 2 {
			if out, stderr, code := m.run("push", m.path("first.tar.zst"), addr+"/p"); code != 0 {
				t.Fatalf("%s: exit code %d\n%s%s", name, code, out, stderr)
			}
		}
		conf := m.path(name + ".conf")
		check(t, os.WriteFile(conf, []byte(testregistry.RegistriesConf("registry.example", addr+"/p")), 0o600))
		got := m.bundle(name, "--layers", "original", "--registries-conf", conf)
		if is := described(m.inventory(name)); is != m.expected() {
			t.Errorf("%s: got\n%swant\n%s", name, is, m.expected())
		}
		if got != want {
			t.Errorf("%s: the bundle of what was pushed is another one", name)
		}
	}
}
