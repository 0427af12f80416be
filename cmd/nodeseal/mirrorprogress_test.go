package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testregistry"
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
