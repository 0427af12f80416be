package rehearse

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// listed is what nft 1.0.6 lists, shortened.
const listed = `{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "nodeseal_rehearse"}},
{"counter": {"family": "inet", "name": "other_1", "packets": 2, "bytes": 168}}, {"counter": {"name": "other_2", "packets": 0}},
{"set": {"name": "armed", "type": "nf_proto", "flags": ["timeout"], "elem": [{"elem": {"val": "ipv4", "timeout": 60, "expires": 31}}]}},
{"set": {"name": "to4_1", "elem": [{"elem": {"val": {"concat": ["203.0.113.7", "tcp", 443]}, "counter": {"packets": 5, "bytes": 60}}},
 {"elem": {"val": {"concat": ["192.0.2.1", "udp", 53]}, "counter": {"packets": 3, "bytes": 60}}}]}},
{"set": {"name": "to6_2", "elem": [{"elem": {"val": {"concat": ["2001:db8::7", "tcp", 5000]}, "counter": {"packets": 1, "bytes": 80}}}]}},
{"set": {"name": "to6_1"}}, {"chain": {"name": "who_1"}}]}`

// journal is what journalctl prints, with lines of CRI-O 1.34, podman 4.3 and kubelet 1.34.
const journal = `{"_SYSTEMD_UNIT":"crio.service","MESSAGE":"time=\"2026-11-30T11:00:19Z\" level=info msg=\"Pulling image: quay.io/a/b:v1\" id=45820a52-08e6-410d-a5db-f078d8c58b41 name=/runtime.v1.ImageService/PullImage"}
{"_SYSTEMD_UNIT":"crio.service","MESSAGE":"time=\"2026-11-30T11:00:19Z\" level=info msg=\"Pulling image: quay.io/a/c:v1\" id=45820a52-08e6-410d-a5db-f078d8c58b42 name=/runtime.v1.ImageService/PullImage"}
{"_SYSTEMD_UNIT":"crio.service","MESSAGE":"time=\"2026-11-30T11:00:20Z\" level=info msg=\"Pulled image: quay.io/a/c@sha256:00\" id=45820a52-08e6-410d-a5db-f078d8c58b42 name=/runtime.v1.ImageService/PullImage"}
{"_SYSTEMD_UNIT":"crio.service","MESSAGE":[1,2,3]}
no JSON
{"_SYSTEMD_UNIT":"crio.service","MESSAGE":"time=\"2026-11-30T11:00:21Z\" level=info msg=\"Pulling image: quay.io/a/b:v1\" id=45820a52-08e6-410d-a5db-f078d8c58b43 name=/runtime.v1.ImageService/PullImage"}
{"_SYSTEMD_UNIT":"job.service","MESSAGE":"Trying to pull quay.io/a/d:v1..."}
{"_SYSTEMD_UNIT":"job.service","MESSAGE":"Error: initializing source docker://quay.io/a/d:v1: pinging container registry quay.io: Get \"https://quay.io/v2/\": dial tcp 203.0.113.7:443: connect: connection refused"}
{"_SYSTEMD_UNIT":"job.service","MESSAGE":"Trying to pull localhost:5000/a/e@sha256:11..."}
{"_SYSTEMD_UNIT":"job.service","MESSAGE":"Error: initializing source docker://quay.io/a/quiet:v1: pinging container registry quay.io: Get \"https://quay.io/v2/\": dial tcp: lookup quay.io on 192.0.2.1:53: connection refused"}
{"_SYSTEMD_UNIT":"job.service","MESSAGE":"Trying to pull quay.io/g:v1..."}
{"_SYSTEMD_UNIT":"job.service","MESSAGE":"Error: 2 errors occurred while pulling:"}
{"_SYSTEMD_UNIT":"job.service","MESSAGE":" * initializing source docker://quay.io/g:v1: pinging container registry quay.io: Get \"https://quay.io/v2/\": dial tcp: lookup quay.io on 192.0.2.1:53: connection refused"}
{"_SYSTEMD_UNIT":"kubelet.service","MESSAGE":"E1130 11:00:21.1 1 kuberuntime_image.go:42] \"Failed to pull image\" err=\"rpc error\" image=\"quay.io/a/b:v1\""}
{"_SYSTEMD_UNIT":"kubelet.service","MESSAGE":"E1130 11:00:21.1 1 kuberuntime_image.go:42] \"Failed to pull image\" err=\"rpc error\" image=\"quay.io/a/f:v1\""}
{"_SYSTEMD_UNIT":"kubelet.service","MESSAGE":"E1130 11:00:21.1 1 log.go:32] \"PullImage from image service failed\" err=\"rpc error\" image=\"quay.io/a/f:v1\""}`

func TestJournal(t *testing.T) {
	t.Parallel()
	want := []Image{
		{"quay.io/a/b:v1", crio, 2, 0}, {"quay.io/a/c:v1", crio, 1, 1}, {"quay.io/a/d:v1", "job.service", 1, 0},
		{"quay.io/a/f:v1", kubelet, 1, 0}, {"quay.io/a/quiet:v1", "job.service", 1, 0}, {"quay.io/g:v1", "job.service", 1, 0},
	}
	want = slices.Insert(want, 0, Image{"localhost:5000/a/e@sha256:11", "job.service", 1, 1})
	for _, size := range []int{1, 7, 1 << 20} { // however the text arrives
		p := newPulls()
		for text := journal + "\n"; text != ""; {
			n := min(size, len(text))
			if _, err := io.WriteString(p, text[:n]); err != nil {
				t.Fatal(err)
			}
			text = text[n:]
		}
		if got := p.sorted(); !slices.Equal(got, want) {
			t.Errorf("in pieces of %d: %+v\nwant %+v", size, got, want)
		}
	}
}

// TestJournalBounds holds that neither long lines nor many images take memory without end.
func TestJournalBounds(t *testing.T) {
	t.Parallel()
	p := newPulls()
	long := `{"_SYSTEMD_UNIT":"crio.service","MESSAGE":"` + strings.Repeat("x", 2*maxLine)
	if _, err := io.WriteString(p, long+"\"}\n"+journal+"\n"); err != nil {
		t.Fatal(err)
	}
	if len(p.images) != 8 || cap(p.rest) > 2*maxLine {
		t.Errorf("%d images, %d bytes kept", len(p.images), cap(p.rest))
	}
	for i := range maxImages + 10 {
		p.ask(crio, strings.Repeat("y", i))
	}
	if len(p.images) != maxImages || !p.more {
		t.Errorf("%d images, more: %v", len(p.images), p.more)
	}
}

func TestParseCounts(t *testing.T) {
	t.Parallel()
	got, err := parseCounts([]byte(listed), []string{crio, "job.service"})
	want := []Reached{
		{Unit: crio, Attempts: 2}, {crio, "203.0.113.7", "tcp", 443, 5}, {crio, "192.0.2.1", "udp", 53, 3},
		{"job.service", "2001:db8::7", "tcp", 5000, 1},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	for _, bad := range []string{"", "{", `{"nftables":[{"set":{"name":"to4_1","elem":[{"elem":{"val":"x"}}]}}]}`,
		`{"nftables":[{"set":{"name":"to4_1","elem":[{"elem":{"val":{"concat":["a","tcp","http"]}}}]}}]}`} {
		if got, err := parseCounts([]byte(bad), []string{crio}); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// TestReport holds the verdict on each way in which a rehearsal ends.
func TestReport(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	const quiet = `{"nftables": [{"set": {"name": "to4_1", "elem": [{"elem": {"val": {"concat": ["192.0.2.1", "udp", 53]}, "counter": {"packets": 3}}}]}}]}`
	const asked = `{"nftables": [{"set": {"name": "to4_2", "elem": [{"elem": {"val": {"concat": ["192.0.2.1", "udp", 53]}, "counter": {"packets": 1}}}]}}]}`
	const over = "1796033400 over\n"
	tests := map[string]struct {
		files   map[string]string
		journal string
		state   State
		passed  bool
		outside bool
		problem string
	}{
		"passed":      {map[string]string{"ended": over, "counts.x": quiet}, "", Over, true, false, ""},
		"two boots":   {map[string]string{"ended": over, "counts.x": quiet, "counts.y": quiet}, "", Over, true, false, ""},
		"connection":  {map[string]string{"ended": over, "counts.x": quiet, "counts.y": listed}, "", Over, false, true, ""},
		"other's DNS": {map[string]string{"ended": over, "counts.x": asked}, "", Over, false, true, ""},
		"image":       {map[string]string{"ended": over, "counts.x": quiet}, journal, Over, false, true, ""},
		"stopped":     {map[string]string{"ended": "1796032830 stopped\n", "counts.x": quiet}, "", Stopped, false, false, "after 30s of 10 minutes"},
		"late":        {map[string]string{"ended": "1796033400 late\n", "counts.x": quiet}, "", Late, false, false, "nothing was cut after the reboot"},
		"power cut":   {map[string]string{}, "", Lost, false, false, "a power cut"},
		"rebooting":   {map[string]string{"order": "x 1 2 3\n", "counts.x": quiet}, "", Rebooting, false, false, ""},
		"not cut":     {map[string]string{"ended": over, "counts.x": quiet, "missed": "crio.service\ncrio.service\n"}, "", Over, false, false, "crio.service started and was not cut"},
		"flushed":     {map[string]string{"ended": over, "counts.x": "\n", "missed": "table\n"}, "", Over, false, false, "another program removed the rules"},
		"down":        {map[string]string{"ended": over, "counts.x": quiet, "missed": "down:crio.service\n"}, "", Over, false, false, "crio.service did not run at the end"},
		"messages":    {map[string]string{"ended": over, "counts.x": quiet}, `{"_SYSTEMD_UNIT":"systemd-journald.service","MESSAGE":"Suppressed 31 messages from crio.service"}`, Over, false, false, "left messages of crio.service out"},
		"of others":   {map[string]string{"ended": over, "counts.x": quiet}, `{"_SYSTEMD_UNIT":"systemd-journald.service","MESSAGE":"Suppressed 31 messages from sshd.service"}`, Over, true, false, ""},
		"counts lost": {map[string]string{"ended": over}, "", Over, false, false, "what was counted is lost"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := openshift(t)
			n.Now = func() time.Time { return started }
			n.Run = func(_ context.Context, _ string, stdout io.Writer, words ...string) error {
				if words[0] == "journalctl" && len(words) > 2 {
					_, err := io.WriteString(stdout, tc.journal+"\n")
					return err
				}
				return nil
			}
			if _, err := n.Report(t.Context()); !errors.Is(err, ErrPrecondition) {
				t.Errorf("before any rehearsal: %v", err)
			}
			if err := n.prepare(&Plan{Minutes: 10, Units: []string{crio, "job.service"}}); err != nil {
				t.Fatal(err)
			}
			for file, text := range tc.files {
				if err := os.WriteFile(filepath.Join(n.Root, kept, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r, err := n.Report(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r.State != tc.state || r.Passed != tc.passed || r.Outside() != tc.outside || !r.Started.Equal(started) {
				t.Errorf("%+v", r)
			}
			if got := strings.Join(r.Problems, "; "); tc.problem == "" && got != "" || !strings.Contains(got, tc.problem) {
				t.Errorf("problems %q, want %q", got, tc.problem)
			}
			if err := r.Proof(); errors.Is(err, ErrNoProof) != (tc.problem != "") {
				t.Errorf("proof: %v", err)
			}
		})
	}
}

// TestForget holds that a new rehearsal removes what an ordered boot would find.
func TestForget(t *testing.T) {
	t.Parallel()
	n := openshift(t)
	n.Now = time.Now
	wants := filepath.Join(n.Root, "etc/systemd/system/multi-user.target.wants")
	if err := errors.Join(os.MkdirAll(wants, 0o755), os.WriteFile(filepath.Join(n.Root, "etc/systemd/system", bootName), nil, 0o600),
		os.Symlink("../"+bootName, filepath.Join(wants, bootName))); err != nil {
		t.Fatal(err)
	}
	if err := n.prepare(&Plan{Minutes: 1, Units: []string{crio}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etc/systemd/system/" + bootName, "etc/systemd/system/multi-user.target.wants/" + bootName, kept + "/order"} {
		if n.exists(name) {
			t.Errorf("%s is still there", name)
		}
	}
	if info, err := os.Stat(filepath.Join(n.Root, kept)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}
