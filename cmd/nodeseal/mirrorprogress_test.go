package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/testregistry"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// TestBundleProgress reads what a run in trouble says of its progress: each
// phase only grows, the download's total is right from its start, also where
// bytes come twice, and all ends at 100%.
func TestBundleProgress(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	m.registry.Trouble = func(q testregistry.Request) testregistry.Fault {
		if q.Blob != "" && q.Times < 2 {
			return testregistry.Fault{After: 30_000, NoRange: true}
		}
		return testregistry.Fault{}
	}
	var size int64
	for _, l := range m.layers {
		size += l.Size
	}
	cmd := m.command("run")
	var out bytes.Buffer
	cmd.Stderr = &out
	check(t, cmd.Run())
	type line struct {
		Event, Phase string
		Done, Total  int64
		Percent      float64
	}
	last := make(map[string]line)
	for s := bufio.NewScanner(&out); s.Scan(); {
		var l line
		check(t, json.Unmarshal(s.Bytes(), &l))
		if l.Phase == "" {
			continue
		}
		before, begun := last[l.Phase]
		if begun && (l.Done < before.Done || l.Percent < before.Percent) || l.Done > l.Total {
			t.Errorf("%+v after %+v", l, before)
		}
		if l.Phase == "download" && l.Total != size {
			t.Errorf("%+v: the layers have %d bytes", l, size)
		}
		last[l.Phase] = l
	}
	for _, phase := range []string{"resolve", "download", "write"} {
		if l := last[phase]; l.Percent != 100 || l.Event != "finish" {
			t.Errorf("%s ends with %+v", phase, l)
		}
	}
}

// TestBundleProgressOnTerminal reads what a person sees of a run on a terminal:
// bars that only grow, with the whole of what comes behind them from the first
// one on, that all end at 100%.
func TestBundleProgressOnTerminal(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	m.registry.Rate = 1 << 20 // some seconds, in which bars are drawn
	var size int64
	for _, l := range m.layers {
		size += l.Size
	}
	term := testenv.NeedTerminal(t, 100)
	cmd := m.command("run", "--progress=auto")
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stderr = term.File
	check(t, cmd.Run())
	text := term.Text(t)
	drawn := map[string][]string{}
	moves := regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]|\r")
	row := regexp.MustCompile(`(?m)^(resolve|download|write) +\[[=>-]*\] +(\d+)%  (.*)$`)
	last := map[string]int{}
	for _, f := range row.FindAllStringSubmatch(moves.ReplaceAllString(text, ""), -1) {
		phase, rest := f[1], f[3]
		percent, err := strconv.Atoi(f[2])
		check(t, err)
		if percent < last[phase] || percent > 100 {
			t.Errorf("%s: %d%% after %d%%", phase, percent, last[phase])
		}
		last[phase] = percent
		drawn[phase] = append(drawn[phase], rest)
		if whole := "of " + ui.Bytes(size); phase == "download" && percent < 100 && !strings.Contains(rest, whole) {
			t.Errorf("a bar of the download without %q: %q", whole, rest)
		}
	}
	for _, phase := range []string{"resolve", "download", "write"} {
		if last[phase] != 100 {
			t.Errorf("%s ends at %d%%", phase, last[phase])
		}
	}
	if n := len(drawn["download"]); n < 5 {
		t.Errorf("%d bars of the download in:\n%q", n, text)
	}
}

// TestInterruptedOnTerminal: Ctrl-C leaves the bars as they were, each once, and below them
// what to do; a frame begins at the left edge, wherever the terminal has shown ^C.
func TestInterruptedOnTerminal(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	m.registry.Rate = 1 << 16 // minutes
	asked := make(chan struct{})
	once := sync.OnceFunc(func() { close(asked) })
	m.registry.Trouble = func(q testregistry.Request) testregistry.Fault {
		if slices.ContainsFunc(m.layers, func(l testregistry.Layer) bool { return l.Digest == q.Blob }) {
			once()
		}
		return testregistry.Fault{}
	}
	term := testenv.NeedTerminal(t, 100)
	cmd := m.command("run", "--progress=auto")
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=1")
	cmd.Stderr = term.File
	check(t, cmd.Start())
	<-asked
	check(t, cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("interrupted: %v", err)
	}
	text := term.Text(t)
	frames := regexp.MustCompile("\r(\x1b\\[[0-9]+A)?\x1b\\[J").Split(text, -1)
	if n := strings.Count(text, "\x1b[J"); n != len(frames)-1 || n < 2 {
		t.Errorf("%d frames of %d begin at the left edge:\n%q", len(frames)-1, n, text)
	}
	last := frames[len(frames)-1]
	if strings.Count(last, "download") != 1 || !strings.Contains(last, "stopped\r\nnodeseal: interrupted\r\n  -> ") || strings.Contains(last, "\x1b") {
		t.Errorf("the screen ends with:\n%q", last)
	}
}
