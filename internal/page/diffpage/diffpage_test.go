package diffpage_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/difference"
	"github.com/nodeseal/nodeseal/internal/holding"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/page/diffpage"
	"github.com/nodeseal/nodeseal/internal/page/pagetest"
)

// compare is a report as difference.Read makes it.
func compare(a, b *difference.Side) *difference.Report {
	return &difference.Report{
		From:       difference.About{Path: "old.tar.zst", Kind: holding.Bundle, Images: len(a.Images), Total: a.Total(), Release: &bundle.Release{Version: "4.18.1"}},
		To:         difference.About{Path: "new.tar.zst", Kind: holding.Bundle, Images: len(b.Images), Total: b.Total()},
		Difference: *difference.Compare(a, b),
	}
}

func write(t *testing.T, r *difference.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := diffpage.Write(&b, r, madeby.Mark{Program: "v1"}); err != nil {
		t.Fatal(err)
	}
	pagetest.Hold(t, b.String())
	return b.String()
}

func list(refs ...string) *difference.Side {
	var entries []imagelist.Entry
	for _, ref := range refs {
		entries = append(entries, imagelist.Entry{Ref: ref})
	}
	return difference.OfEntries(entries)
}

func need(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
}

// The page has what diff says: the counts, the versions, the new bytes, and what a stick carries.
func TestPage(t *testing.T) {
	t.Parallel()
	a, b := pagetest.Inventory(20, 4, 4), pagetest.Inventory(22, 4, 5)
	r := compare(difference.OfInventory(a), difference.OfInventory(b))
	r.Stick = &difference.Stick{Since: &plan.Plan{Bundle: 3 << 20}, Whole: &plan.Plan{Bundle: 7 << 20}}
	text := write(t, r)
	need(t, text, `id="count-added">2</b>`, `id="count-changed">20</b>`, `id="count-removed">0</b>`, "4.18.4 → 4.18.5", "<summary>rhel-coreos</summary>",
		"bundle of release 4.18.1 · 20 images", "A stick carries about 3.0 MiB with --since, instead of about 7.0 MiB for the whole bundle.", `<rect width="100" height="4"/>`)
	r.Stick.Since, r.Stick.Why = nil, &mirror.FormError{}
	need(t, write(t, r), "A stick has to carry the whole bundle, about 7.0 MiB.")
	need(t, write(t, compare(difference.OfInventory(a), difference.OfInventory(a))), "No difference: 20 images.")
}

// Lists have no sizes, and the page has no columns for them.
func TestLists(t *testing.T) {
	t.Parallel()
	text := write(t, compare(list("r.example/a:v1", "r.example/gone:v1"), list("r.example/a:v2")))
	need(t, text, "The layers of a list or a release are not known", "v1 → v2", `class="sortable unsized"`)
	if strings.Contains(text, "New, compressed") {
		t.Error("a column of sizes that are not known")
	}
}

// What other people chose is text in the page.
func TestHostile(t *testing.T) {
	t.Parallel()
	inv := pagetest.Inventory(3, 2, 4)
	inv.Images[0].From = []bundle.Origin{{Source: "release", Name: pagetest.Hostile + " " + pagetest.Hostile}}
	inv.Images[1].Ref, inv.Images[1].Names = "r.example/"+pagetest.Hostile, []string{"r.example/a:" + pagetest.Hostile}
	r := compare(list("r.example/"+pagetest.Hostile), difference.OfInventory(inv))
	r.From.Path, r.To.Release = pagetest.Hostile, &bundle.Release{Version: pagetest.Hostile}
	need(t, write(t, r), "&lt;script&gt;")
}

// Of very many changes a page has those that bring the most, and counts the others.
func TestMany(t *testing.T) {
	t.Parallel()
	var refs []string
	for i := range 6000 {
		refs = append(refs, fmt.Sprintf("r.example/image-%d:v1", i))
	}
	text := write(t, compare(list("r.example/none:v1"), list(refs...)))
	need(t, text, "1001 more changes have no row here")
	if n := strings.Count(text, "<tr "); n != 5001 {
		t.Errorf("%d rows", n)
	}
}

var errFull = errors.New("disk full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteError(t *testing.T) {
	t.Parallel()
	if err := diffpage.Write(full{}, compare(list("r.example/a:v1"), list()), madeby.Mark{}); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}
