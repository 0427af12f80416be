//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/signtest"
)

// TestSignatures bundles from a real registry, through a mirror for digests, what
// cosign would have put there, and holds it to policies. The source cannot be
// reached.
func TestSignatures(t *testing.T) {
	t.Parallel()
	addr := harness.Registry(t)
	m := &imageMaker{t: t, addr: addr, label: "signed"}
	base := m.layer(gzipDefault, baseFiles(t))
	signed, bare := m.push("app", "", m.image([]string{"/bin/sh"}, base)), m.push("tagged", "", m.image([]string{"/bin/true"}, base))
	key, public := signtest.Key(t)
	_, stranger := signtest.Key(t)
	repository, d := split(signed)
	sig := signtest.Sigstore(t, key, repository, d)
	signtest.Push(t, addr, "nodeseal-e2e/app", sig, sig.Tag)
	note := signtest.Referrer(t, "text/note", d, "made on a Monday")
	signtest.Push(t, addr, "nodeseal-e2e/app", note)
	index := signtest.ReferrersIndex(t, note, d)
	signtest.Push(t, addr, "nodeseal-e2e/app", index, index.Tag)
	list := harness.WriteFile(t, "images.lst", signed+"\n"+bare+"\n")
	conf := harness.WriteFile(t, "registries.conf", fmt.Sprintf(`[[registry]]
prefix = %q
location = "127.0.0.1:9/nodeseal-e2e"
[[registry.mirror]]
location = %q
insecure = true
pull-from-mirror = "digest-only"
`, crioRepo, addr+"/nodeseal-e2e"))
	bundle := func(name string, flags ...string) harness.Output {
		return harness.Nodeseal(t, append([]string{"bundle", "--json", "--images", list, "-o", name, "--registries-conf", conf}, flags...)...)
	}
	path := filepath.Join(t.TempDir(), "warned.tar.zst")
	out := bundle(path)
	var res struct {
		Attached struct {
			Attachments int
			Unsigned    []string
		}
	}
	if err := json.Unmarshal(out.Stdout, &res); err != nil || out.Code != 0 {
		t.Fatalf("exit code %d, %v\n%s", out.Code, err, out.Stderr)
	}
	if res.Attached.Attachments != 2 || len(res.Attached.Unsigned) != 1 || res.Attached.Unsigned[0] != bare ||
		!strings.Contains(string(out.Stderr), "no signature was found of "+bare) {
		t.Errorf("%+v\n%s", res, out.Stderr)
	}
	harness.MustNodeseal(t, "verify", path)
	for _, tt := range []struct {
		name, scope, key string
		code             int
		says             string
	}{
		{"signed", crioRepo + "/app", public, 0, ""},
		{"another key", crioRepo + "/app", stranger, 4, "refused by the policy as " + signed},
		{"not signed", crioRepo, public, 4, "refused by the policy as " + bare},
	} {
		policy := signtest.Policy(t, tt.scope, signtest.SigstoreSigned(tt.key))
		out := bundle(filepath.Join(t.TempDir(), "b.tar.zst"), "--policy", policy)
		if out.Code != tt.code || !strings.Contains(string(out.Stderr), tt.says) {
			t.Errorf("%s: exit code %d, want %d\n%s", tt.name, out.Code, tt.code, out.Stderr)
		}
	}
}
