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

// fake is a node whose systemd keeps the rehearsal's directory, and notes what it is asked for.
func fake(t *testing.T, fails string) (n *Node, asked *[]string) {
	t.Helper()
	n, asked = openshift(t), new([]string)
	n.Now = time.Now
	n.Run = func(ctx context.Context, _ string, _ io.Writer, words ...string) error {
		line := strings.ReplaceAll(strings.Join(words, " "), n.Root, "")
		*asked = append(*asked, line)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		dir := filepath.Join(n.Root, live)
		switch {
		case strings.Contains(line, " begin "):
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		case line == "systemctl stop "+unitName, strings.HasSuffix(line, " stop"):
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
		if fails != "" && strings.Contains(line, fails) {
			return errors.New("it fails")
		}
		return nil
	}
	return n, asked
}

const beginLine = "/bin/sh /var/lib/nodeseal/rehearse/rehearse.sh begin 600"

// TestBegin holds what systemd is asked for, and that no failure leaves a cut.
func TestBegin(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		then, fails string
		want        []string
	}{
		"plain":         {"", "", []string{beginLine}},
		"restart":       {"restart crio.service", "", []string{beginLine, "systemctl restart crio.service"}},
		"reboot":        {"reboot", "", []string{beginLine, "systemctl reboot"}},
		"begin fails":   {"", "begin", []string{beginLine, "systemctl stop " + unitName}},
		"restart fails": {"restart crio.service", "restart", []string{beginLine, "systemctl restart crio.service", "systemctl stop " + unitName}},
		"reboot fails":  {"reboot", "reboot", []string{beginLine, "systemctl reboot", "systemctl stop " + unitName}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, asked := fake(t, tc.fails)
			p := &Plan{Minutes: 10, Units: []string{crio}, Then: tc.then}
			err := n.Begin(t.Context(), p)
			if (err != nil) != (tc.fails != "") || n.exists(live) != (tc.fails == "") {
				t.Errorf("%v; cut: %v", err, n.exists(live))
			}
			if !slices.Equal(*asked, tc.want) {
				t.Errorf("%q\nwant %q", *asked, tc.want)
			}
			if (tc.then == "reboot" && err == nil) != n.exists(live, "reboot") {
				t.Error("only --reboot has the next boot continue")
			}
			if err == nil {
				if err := n.Begin(t.Context(), p); !errors.Is(err, ErrPrecondition) {
					t.Errorf("a second rehearsal: %v", err)
				}
			}
		})
	}
}

// TestWait holds that an interrupt ends the cut, and that one which is over is only seen.
func TestWait(t *testing.T) {
	t.Parallel()
	p := &Plan{Minutes: 10, Units: []string{crio}}
	n, asked := fake(t, "")
	if err := n.Begin(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if err := n.Wait(ctx, p); !errors.Is(err, stop) || n.exists(live) {
		t.Errorf("%v; cut: %v", err, n.exists(live))
	}
	before := len(*asked)
	if err := n.Wait(t.Context(), p); err != nil || len(*asked) != before {
		t.Errorf("%v, %q", err, *asked)
	}
	if err := n.Stop(t.Context()); !errors.Is(err, ErrPrecondition) {
		t.Errorf("there is nothing to stop: %v", err)
	}
}

// TestStopBeforeBoot holds that --stop takes back what the next boot would continue.
func TestStopBeforeBoot(t *testing.T) {
	t.Parallel()
	n, _ := fake(t, "")
	if err := n.prepare(&Plan{Minutes: 1, Units: []string{crio}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.Root, kept, "order"), []byte("x 1 2 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(t.Context()); err != nil || n.exists(kept, "order") {
		t.Errorf("%v", err)
	}
}

// TestDo holds what is announced, and what a command line returns.
func TestDo(t *testing.T) {
	t.Parallel()
	n, _ := fake(t, "")
	announced := 0
	announce := func(*Plan) error { announced++; return nil }
	for _, c := range []Command{
		{Options: Options{Minutes: 10}, Stop: true, DryRun: true},
		{Options: Options{Minutes: 10, Reboot: true}, Report: true},
		{Options: Options{Minutes: 5}, MinutesGiven: true, Report: true},
		{Options: Options{Minutes: 10}, MinutesGiven: true, Stop: true},
		{Options: Options{Minutes: 0}},
	} {
		if _, _, err := n.Do(t.Context(), c, announce); !errors.Is(err, ErrUsage) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	// Its systemd has no crio.service.
	if _, _, err := n.Do(t.Context(), Command{Options: Options{Minutes: 10}}, announce); !errors.Is(err, ErrPrecondition) {
		t.Errorf("a machine without CRI-O: %v", err)
	}
	if announced != 0 {
		t.Errorf("%d plans announced", announced)
	}
}
