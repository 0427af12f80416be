package rehearse

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRules holds the rules that docs/rehearse.md and the ADR describe.
func TestRules(t *testing.T) {
	t.Parallel()
	got := rules([]Allowed{
		{Address: netip.MustParsePrefix("10.128.0.0/14")},
		{Address: netip.MustParsePrefix("192.0.2.5/32"), Port: 6443},
		{Address: netip.MustParsePrefix("fd01::/48")},
	}, []string{crio, "rpm-ostreed.service"})
	for _, want := range []string{
		"table inet nodeseal_rehearse\ndelete table inet nodeseal_rehearse\ntable inet nodeseal_rehearse {\n",
		"elements = { ipv4 timeout @SECONDS@s, ipv6 timeout @SECONDS@s }",
		"type filter hook output priority -310; policy accept;\n\t\toifname \"lo\" accept\n\t\tmeta nfproto != @armed accept\n",
		"\t\tip daddr 10.128.0.0/14 accept\n\t\tip daddr 192.0.2.5/32 meta l4proto { tcp, udp } th dport 6443 accept\n\t\tip6 daddr fd01::/48 accept\n\t\tjump who_1\n\t\tjump who_2\n",
		"# rpm-ostreed.service\n\tchain who_2 {",
		"update @to6_2 { ip6 daddr . meta l4proto . th dport }",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the rules lack\n%s\n%s", want, got)
		}
	}
	if strings.Contains(got, "flush ruleset") {
		t.Error("the rules of others are flushed")
	}
}

// TestScript holds that a shell takes the script, and that the fields of both sides are the same.
func TestScript(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-n")
	cmd.Stdin = strings.NewReader(string(script))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, want := range []string{"kept=/" + kept + " ", "live=/" + live + " ", "unit=" + unitName + "\n", "boot=" + bootName + "\n", "table='inet " + table + "'\n"} {
		if !strings.Contains(string(script), want) {
			t.Errorf("the script lacks %q", want)
		}
	}
}

// TestScriptEnd holds that the end of a rehearsal notes what does not run then: a node whose
// CRI-O is down asks for nothing.
func TestScriptEnd(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ runs, want string }{
		"all run":       {"is-active crio.service;is-enabled kubelet.service;is-active kubelet.service", ""},
		"no kubelet":    {"is-active crio.service", ""},
		"CRI-O is down": {"is-enabled kubelet.service;is-active kubelet.service", "down:crio.service\n"},
		"both are down": {"is-enabled kubelet.service", "down:crio.service\ndown:kubelet.service\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			systemctl := "systemctl() { case $* in *stop*) echo \"$*\" >>" + dir + "/stopped; return 0 ;; esac; shift; case ';" + tc.runs + ";' in *\";$*;\"*) return 0 ;; esac; return 3; }\n"
			text := strings.Replace(string(script), "live=/"+live+" ", "live="+dir+" ", 1)
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-s", "end")
			cmd.Stdin = strings.NewReader(systemctl + text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			missed, _ := os.ReadFile(filepath.Join(dir, "missed"))
			why, _ := os.ReadFile(filepath.Join(dir, "why"))
			stopped, _ := os.ReadFile(filepath.Join(dir, "stopped"))
			if string(missed) != tc.want || string(why) != "over\n" || string(stopped) != "stop --no-block "+unitName+"\n" {
				t.Errorf("missed %q, want %q; why %q; %q", missed, tc.want, why, stopped)
			}
		})
	}
}

// TestScriptBoot holds that the ordered boot notes a service that it started before the cut.
func TestScriptBoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept")
	for name, text := range map[string]string{"order": "other 1 99999999999 60\n", "rehearse.sh": "", "cut.nft": "", "units": "crio.service\nearly.service\nlater.service\n", "system/x.timer": ""} {
		path := filepath.Join(kept, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	text := string(script)
	for name, path := range map[string]string{"kept": kept, "live": filepath.Join(dir, "live"), "runtime": filepath.Join(dir, "run"), "etc": filepath.Join(dir, "etc")} {
		before, after, found := strings.Cut(text, "\n"+name+"=")
		_, after, _ = strings.Cut(after, "\n")
		if !found {
			t.Fatalf("the script has no %s", name)
		}
		text = before + "\n" + name + "=" + path + "\n" + after
	}
	const systemctl = "systemctl() { case $* in *'show nodeseal-rehearse.service'*) echo 5000 ;; *'show early'*) echo 4000 ;; *'show later'*) echo 6000 ;; *show*) echo 0 ;; esac; }\n"
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-s", "boot")
	cmd.Stdin = strings.NewReader(systemctl + text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if missed, err := os.ReadFile(filepath.Join(dir, "live/missed")); err != nil || string(missed) != "early.service\n" {
		t.Errorf("missed %q, %v", missed, err)
	}
}
