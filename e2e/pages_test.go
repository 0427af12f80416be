//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/internal/difference"
	"github.com/nodeseal/nodeseal/internal/holding"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/page"
	"github.com/nodeseal/nodeseal/internal/page/contents"
	"github.com/nodeseal/nodeseal/internal/page/diffpage"
	"github.com/nodeseal/nodeseal/internal/page/pagetest"
)

// The widths of a phone and of a desk.
func widths() []int { return []int{390, 1280} }

// TestContentsPage opens the page of inspect --html in a browser: of a release, of names that are an attack, and of a
// thousand images with thirty layers each.
func TestContentsPage(t *testing.T) {
	b := openBrowser(t)
	hostile := pagetest.Inventory(30, 6, 4)
	for i := range hostile.Images {
		hostile.Images[i].From = nil
		hostile.Images[i].Ref = "r.example/" + pagetest.Hostile + hostile.Images[i].Ref
	}
	hostile.Release.Version = pagetest.Hostile
	for name, subject := range map[string]contents.Subject{
		"release": {Path: "/var/lib/shared/nodeseal/a", Size: 12 << 30, Inventory: pagetest.Inventory(190, 7, 4)},
		"hostile": {Path: pagetest.Hostile, Inventory: hostile},
		"large":   {Path: "large.tar.zst", Inventory: pagetest.Inventory(1000, 30, 4)},
	} {
		path := filepath.Join(t.TempDir(), name+".html")
		if err := page.WriteFile(path, func(w io.Writer) error { return contents.Write(w, subject) }); err != nil {
			t.Fatal(err)
		}
		for _, width := range widths() {
			b.hold(path, width)
			shown := map[int]string{390: "none block", 1280: "block none"}[width]
			if got := b.eval("['.wide.plain', '.narrow.plain'].map((s) => getComputedStyle(document.querySelector(s)).display).join(' ')"); got != shown {
				t.Errorf("%s at %d pixels: pictures are %s, want %s", name, width, got, shown)
			}
		}
		first := "document.querySelector('tbody tr').id"
		if got := b.eval(first); got != "i0" {
			t.Errorf("%s: the first row is %s", name, got)
		}
		// By unpacked size, the largest first, and again the smallest first.
		click := "document.querySelectorAll('th button')[1].click()"
		b.eval(click)
		if got := b.eval(first); got != "i0" {
			t.Errorf("%s: sorted by size the first row is %s", name, got)
		}
		b.eval(click)
		if got := b.eval("document.querySelector('th').parentNode.cells[1].ariaSort + ' ' + (" + first + " === 'i0')"); got != "ascending false" {
			t.Errorf("%s: sorted by size, the smallest first: %s", name, got)
		}
		b.eval("document.querySelector('[for=as-packed]').click()")
		if got := b.eval("getComputedStyle(document.querySelector('.wide.plain')).display + getComputedStyle(document.querySelector('.wide.packed')).display"); got != "noneblock" {
			t.Errorf("%s: compressed shows %s", name, got)
		}
		if name == "release" && b.print() == 0 {
			t.Error("it does not print")
		}
	}
	b.quiet("the last page")
}

// TestChangesPage opens the page of diff --html in a browser: of two releases, and of lists.
func TestChangesPage(t *testing.T) {
	b := openBrowser(t)
	old, next := pagetest.Inventory(190, 7, 4), pagetest.Inventory(192, 7, 5)
	old.Images[3].From, old.Images[3].Ref = nil, "r.example/"+pagetest.Hostile+old.Images[3].Ref
	a, z := difference.OfInventory(old), difference.OfInventory(next)
	report := &difference.Report{
		From:       difference.About{Path: "/mnt/4.18.4.tar.zst", Kind: holding.Bundle, Images: 190, Total: a.Total(), Release: old.Release},
		To:         difference.About{Path: "/mnt/4.18.5.tar.zst", Kind: holding.Bundle, Images: 192, Total: z.Total(), Release: next.Release},
		Difference: *difference.Compare(a, z), Stick: &difference.Stick{Since: &plan.Plan{Bundle: 3 << 30}, Whole: &plan.Plan{Bundle: 9 << 30}},
	}
	path := filepath.Join(t.TempDir(), "changes.html")
	if err := page.WriteFile(path, func(w io.Writer) error { return diffpage.Write(w, report, madeby.Mark{Program: "v1"}) }); err != nil {
		t.Fatal(err)
	}
	for _, width := range widths() {
		b.hold(path, width)
	}
	for id, want := range map[string]int{"added": report.Count(difference.Added), "changed": report.Count(difference.Changed), "removed": report.Count(difference.Removed)} {
		b.eval("document.querySelector('[for=show-" + id + "]').click()")
		shown := "[...document.querySelectorAll('tbody tr')].filter((r) => r.offsetHeight > 0).length"
		if got := b.eval(shown + " + ' ' + document.getElementById('count-" + id + "').textContent"); got != fmt.Sprintf("%d %d", want, want) {
			t.Errorf("%s shows %s, want %d", id, got, want)
		}
	}
	b.quiet(path)
}
