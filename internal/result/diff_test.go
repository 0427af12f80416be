package result_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/difference"
	"github.com/nodeseal/nodeseal/internal/holding"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/result"
)

// hostile is a name that would clear a terminal, begin a line of its own and turn it around.
const hostile = "\x1b[2Jname\nOK: all is well\u202e"

// diffOf is a difference of two lists, all of whose words are hostile.
func diffOf(changes int) result.Diff {
	entry := func(i int) imagelist.Entry {
		return imagelist.Entry{
			Ref: "r.example/" + hostile + strings.Repeat("x", i) + "@sha256:" + strings.Repeat("1", 64), Names: []string{"r.example/a:" + hostile},
			From: []bundle.Origin{{Source: "release", Name: "4." + hostile + " " + hostile + strings.Repeat("x", i)}},
		}
	}
	var entries []imagelist.Entry
	for i := range changes {
		entries = append(entries, entry(i))
	}
	about := difference.About{Path: "dir/" + hostile, Kind: holding.List, Release: &bundle.Release{Version: hostile}}
	return result.NewDiff(&difference.Report{
		From: about, To: about, Difference: *difference.Compare(difference.OfEntries(nil), difference.OfEntries(entries)),
	})
}

// Nothing of what is compared is obeyed by a terminal, or passes for a line of the program.
func TestDiffHostile(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	if err := diffOf(3).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(text.String(), "\x1b\u202e") {
		t.Errorf("control characters:\n%q", text.String())
	}
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(strings.TrimSpace(line), "OK:") {
			t.Errorf("a line of its own:\n%s", text.String())
		}
	}
	if got := strings.Count(text.String(), "\nadded "); got != 3 {
		t.Errorf("%d lines of changes in\n%s", got, text.String())
	}
}

// The JSON has every change, also none.
func TestDiffJSON(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 3} {
		var text bytes.Buffer
		if err := diffOf(n).WriteJSON(&text); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Added   int
			Changes []struct{ Kind, Name string }
			New     *struct{}
		}
		if err := json.Unmarshal(text.Bytes(), &got); err != nil || got.Added != n || len(got.Changes) != n || got.Changes == nil || got.New != nil {
			t.Errorf("%d changes: %+v, %v\n%s", n, got, err, text.String())
		}
	}
}
