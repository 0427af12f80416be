//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/rehearse"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// pull asks CRI-O for the image.
func (b *booted) pull(t *testing.T) error {
	t.Helper()
	conn, err := grpc.NewClient("unix:///proc/"+b.pid+"/root/run/crio/crio.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	images := cri.NewImageServiceClient(conn)
	_, err = images.PullImage(t.Context(), &cri.PullImageRequest{Image: &cri.ImageSpec{Image: rehearsed}})
	return err
}

// isCut wants pulls to fail at once, or to work.
func (b *booted) isCut(t *testing.T, want bool) {
	t.Helper()
	err := b.pull(t)
	if (err != nil) != want {
		t.Fatalf("a pull: %v, want it cut: %v\n%s\n%s", err, want, b.run(t, "nft", "list", "ruleset").Stdout, b.journal(t))
	}
}

func (b *booted) journal(t *testing.T) string {
	t.Helper()
	return string(b.run(t, "journalctl", "--no-pager", "--lines=60").Stdout)
}

func (b *booted) nodeseal(t *testing.T, code int, args ...string) harness.Output {
	t.Helper()
	out := b.run(t, append([]string{"/var/usrlocal/bin/nodeseal"}, args...)...)
	if out.Code != code {
		t.Fatalf("nodeseal %q: exit code %d, want %d\n%s%s\n%s", args, out.Code, code, out.Stdout, out.Stderr, b.journal(t))
	}
	return out
}

// rehearse starts a rehearsal. Kill ends nodeseal alone.
func (b *booted) rehearse(t *testing.T, args ...string) *harness.Process {
	t.Helper()
	words := append([]string{"--target", b.pid, "--mount", "--pid", "--net", "--uts", "--ipc", "/var/usrlocal/bin/nodeseal", "rehearse"}, args...)
	p := harness.Start(t, "nsenter", words...)
	t.Cleanup(func() { _ = p.Kill(t) })
	return p
}

// begin starts a rehearsal, and waits until it is in force.
func (b *booted) begin(t *testing.T, args ...string) *harness.Process {
	t.Helper()
	p := b.rehearse(t, args...)
	for deadline := time.Now().Add(2 * time.Minute); b.systemctl(t, "is-active", "nodeseal-rehearse.service") != "active"; time.Sleep(50 * time.Millisecond) {
		select {
		case <-p.Over():
			t.Fatalf("nodeseal rehearse %q ended\n%s", args, b.journal(t))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("nodeseal rehearse %q does not begin\n%s", args, b.journal(t))
		}
	}
	return p
}

func (b *booted) report(t *testing.T, code int) *rehearse.Report {
	t.Helper()
	var r rehearse.Report
	out := b.nodeseal(t, code, "rehearse", "--report", "--json")
	if err := json.Unmarshal(out.Stdout, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// gone waits for the end of a rehearsal.
func (b *booted) gone(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); b.run(t, "test", "-e", "/run/nodeseal/rehearse").Code == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the rehearsal does not end\n%s", b.journal(t))
		}
	}
}

// undone waits for the end of a rehearsal, and wants nothing of it to be left.
func (b *booted) undone(t *testing.T) {
	t.Helper()
	b.gone(t)
	if tables := string(b.run(t, "nft", "list", "tables").Stdout); strings.Contains(tables, "rehearse") {
		t.Errorf("tables: %s", tables)
	}
	if left := string(b.run(t, "find", "/run/systemd/system", "/etc/systemd/system", "-name", "*rehearse*").Stdout); left != "" {
		t.Errorf("left: %s", left)
	}
	b.isCut(t, false)
}

// restarted reports whether CRI-O runs under the cut: what started before has no drop-in.
func (b *booted) restarted(t *testing.T) bool {
	t.Helper()
	cut, err := strconv.ParseInt(b.systemctl(t, "show", "nodeseal-rehearse.service", "--property=ActiveEnterTimestampMonotonic", "--value"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	at, err := strconv.ParseInt(b.systemctl(t, "show", "crio.service", "--property=ActiveEnterTimestampMonotonic", "--value"), 10, 64)
	return err == nil && at > cut && b.systemctl(t, "is-active", "crio.service") == "active"
}

// ends waits until the machine has gone down in good order.
func (b *booted) ends(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat("/proc/" + b.pid); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the machine does not go down:\n%s", harness.ReadFile(t, b.log))
		}
	}
}

// cutNames are the addresses that a report has for the image: the mirror, and where it is from.
func cutNames(r *rehearse.Report, unit string) (out []string) {
	for _, x := range r.Reached {
		if x.Unit == unit {
			out = append(out, fmt.Sprintf("%s:%d/%s", x.Address, x.Port, x.Protocol))
		}
	}
	return out
}

// wants holds a report of pulls that failed.
func wants(t *testing.T, r *rehearse.Report, state rehearse.State, pulls, boots int) {
	t.Helper()
	if r.State != state || r.Passed || r.Boots != boots {
		t.Errorf("state %s, passed %v, %d boots; want %s, %d", r.State, r.Passed, r.Boots, state, boots)
	}
	if got, want := cutNames(r, "crio.service"), []string{subnetHost + ":5000/tcp", outside + ":5000/tcp"}; !slices.Equal(got, want) {
		t.Errorf("CRI-O reached for %q, want %q", got, want)
	}
	for _, x := range r.Reached {
		if x.Unit == "crio.service" && x.Attempts < int64(pulls) {
			t.Errorf("%+v, want %d attempts", x, pulls)
		}
	}
	if len(r.Images) != 1 || r.Images[0] != (rehearse.Image{Image: rehearsed, Unit: "crio.service", Asked: pulls}) {
		t.Errorf("images %+v, want %s asked for %d times", r.Images, rehearsed, pulls)
	}
}

// TestRehearse cuts a real CRI-O off, under systemd, and holds that the cut is undone
// by its timer, by --stop, by the kernel alone, and after nodeseal was killed; that a reboot
// keeps it only if it was ordered, and a power cut does not.
func TestRehearse(t *testing.T) {
	testenv.NeedRoot(t)
	r := newRehearsal(t)
	b := r.up(t)
	b.run(t, "nft", "add", "table", "inet", "other")
	b.isCut(t, false)
	if plan := string(b.nodeseal(t, 0, "rehearse", "--dry-run").Stdout); !strings.Contains(plan, subnetHost+":6443 (API server") || !strings.Contains(plan, "chain cut_1 {") {
		t.Errorf("the dry run:\n%s", plan)
	}
	b.undone(t)

	t.Log("the timer ends it, nodeseal was killed")
	local := listenIn(t, "/proc/"+b.pid+"/ns/net", "[::1]:5000")
	defer local.Close()
	p := b.begin(t, "--minutes", "5", "--restart-crio", "--unit", "job.service", "--unit", "six.service")
	// The drop-in runs before the new CRI-O: its group is another one.
	for deadline := time.Now().Add(2 * time.Minute); b.systemctl(t, "show", "crio", "--property=ExecCondition", "--value") == "" || !b.restarted(t); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("CRI-O is not restarted\n%s", b.journal(t))
		}
	}
	_ = p.Kill(t)
	b.isCut(t, true)
	b.isCut(t, true)
	for _, host := range []string{subnetSix, outsideSix} {
		b.reaches(t, host, "5000")
	}
	for _, unit := range []string{"job.service", "six.service"} {
		b.systemctl(t, "start", unit)
		if b.systemctl(t, "is-failed", unit) == "failed" {
			t.Errorf("%s:\n%s", unit, b.journal(t))
		}
	}
	if timer := b.systemctl(t, "show", "nodeseal-rehearse-end.timer", "--property=TimersMonotonic"); !strings.Contains(timer, "OnActiveUSec=5min") {
		t.Errorf("the timer: %s", timer)
	}
	// It is the same timer, in less than five minutes.
	short := "etc/systemd/system/nodeseal-rehearse-end.timer.d/short.conf"
	r.write(t, short, "[Timer]\nOnActiveSec=\nOnActiveSec=1s\n")
	b.systemctl(t, "daemon-reload")
	b.systemctl(t, "restart", "nodeseal-rehearse-end.timer")
	b.gone(t)
	harness.Must(t, "rm", "-r", filepath.Join(r.root, filepath.Dir(short)))
	b.systemctl(t, "daemon-reload")
	b.undone(t)
	got := b.report(t, 4)
	t.Logf("\n%s", b.nodeseal(t, 4, "rehearse", "--report").Stdout)
	wants(t, got, rehearse.Over, 2, 1)
	if len(got.Problems) > 0 {
		t.Errorf("problems: %q", got.Problems)
	}
	if got := cutNames(got, "job.service"); !slices.Equal(got, []string{subnetHost + ":5000/tcp"}) {
		t.Errorf("the other service reached for %q", got)
	}
	if got := cutNames(got, "six.service"); !slices.Equal(got, []string{subnetSix + ":5000/tcp", outsideSix + ":5000/tcp"}) {
		t.Errorf("the service with IPv6 reached for %q", got)
	}

	t.Log("--stop ends it, CRI-O was not restarted")
	p = b.begin(t, "--minutes", "5")
	b.isCut(t, true)
	b.nodeseal(t, 5, "rehearse") // one at a time
	wants(t, b.report(t, 4), rehearse.Running, 1, 1)
	b.nodeseal(t, 0, "rehearse", "--stop")
	b.undone(t)
	<-p.Over()
	b.nodeseal(t, 5, "rehearse", "--stop")
	wants(t, b.report(t, 4), rehearse.Stopped, 1, 1)

	t.Log("the kernel ends it alone; a rule set that another program flushed proves nothing")
	b.run(t, "rm", "/var/lib/nodeseal/rehearse/ended")
	b.run(t, "sh", "/var/lib/nodeseal/rehearse/rehearse.sh", "begin", "600")
	b.systemctl(t, "stop", "nodeseal-rehearse-end.timer")
	b.isCut(t, true)
	// What it has loaded has 10 minutes and 30 seconds, which become a second here.
	if armed := string(b.run(t, "nft", "list", "set", "inet", "nodeseal_rehearse", "armed").Stdout); strings.Count(armed, "timeout 10m30s expires") != 2 {
		t.Errorf("the kernel's time: %s", armed)
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		b.run(t, "nft", "delete", "element", "inet", "nodeseal_rehearse", "armed", "{", family, "}")
		b.run(t, "nft", "add", "element", "inet", "nodeseal_rehearse", "armed", "{", family, "timeout", "1s", "}")
	}
	time.Sleep(1100 * time.Millisecond)
	b.isCut(t, false)
	if b.run(t, "nft", "list", "table", "inet", "nodeseal_rehearse").Code != 0 || b.run(t, "nft", "list", "table", "inet", "other").Code != 0 {
		t.Error("the tables are not there")
	}
	b.run(t, "nft", "flush", "ruleset")
	b.nodeseal(t, 0, "rehearse", "--stop")
	b.undone(t)
	if got := b.report(t, 4); !slices.ContainsFunc(got.Problems, func(p string) bool { return strings.Contains(p, "another program removed the rules") }) {
		t.Errorf("problems: %q", got.Problems)
	}

	t.Log("the reboot that it ordered keeps the cut, a power cut ends it")
	p = b.rehearse(t, "--minutes", "10", "--reboot")
	b.ends(t)
	<-p.Over()
	b = r.up(t)
	b.isCut(t, true)
	wants(t, b.report(t, 4), rehearse.Running, 1, 2)
	b.off()
	b = r.up(t)
	b.undone(t)
	if got := b.report(t, 4); got.State != rehearse.Lost || got.Passed || len(got.Problems) == 0 {
		t.Errorf("after the power cut: %+v", got)
	}
}
