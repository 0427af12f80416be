package result_test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/verify"
)

// shown is what commands print: text for people, and a document.
type shown interface{ WriteText(w io.Writer) error }

// TestText holds what people read of each outcome, and that no control character of a
// name comes to the terminal.
func TestText(t *testing.T) {
	t.Parallel()
	const evil = "x\x1b[2Jy"
	sealed := &seal.Report{Dir: "/s/a", FSType: "xfs", Targets: 4, Immutable: 4, Mounted: true}
	for name, test := range map[string]struct {
		of   shown
		want []string
	}{
		"nothing was left":    {result.Clean{}, []string{"OK: nothing was left"}},
		"removed":             {result.Clean{Removed: []string{"/s/.work/swap-a", evil}}, []string{"removed /s/.work/swap-a\n", `\x1b[2Jy`}},
		"retired":             {result.Retire{Slot: "a", Release: "release 4.17.1", Readers: 1}, []string{"slot a is empty; it held release 4.17.1", "1 running container still"}},
		"retired before":      {result.Retire{Slot: "b", Path: "/s/b", Already: true}, []string{"nothing to do: slot b is empty (/s/b)"}},
		"mounted":             {result.Mounts{Mounted: true, Slots: []string{"/s/a"}}, []string{"/s/a: mounted read-only"}},
		"not mounted":         {result.Mounts{Slots: []string{"/s/a"}}, []string{"/s/a: not mounted"}},
		"sealed":              {result.Seal{Report: *sealed}, []string{"/s/a: sealed (4 of 4 immutable, xfs)"}},
		"sealed in part":      {result.Seal{Report: seal.Report{Targets: 4, Immutable: 1}}, []string{"sealed in part (1 of 4"}},
		"flags only":          {result.Seal{Report: seal.Report{Targets: 4, Immutable: 4}}, []string{"immutable, not mounted read-only"}},
		"a new store":         {result.Import{Store: "/s/a", Images: 1, References: 2, Layers: 3, Bytes: 5 << 20, Seal: sealed}, []string{"OK: /s/a holds 1 image under 2 references, 3 layers, 5.0 MiB", "/s/a: sealed"}},
		"the same again":      {result.Import{Store: "/s/a", Slot: "a", Already: true}, []string{"nothing to do: slot a holds this bundle (/s/a)"}},
		"finished by another": {result.Import{Store: "/s/a"}, []string{"holds what an earlier run had finished"}},
		"an image": {
			result.Import{Store: "/x", Images: 1, Image: "/x.erofs", Digest: "sha256:00", ImageBytes: 1 << 30, Signature: "/x.sig"},
			[]string{"/x.erofs: 1.0 GiB, sha256:00", "/x.sig: signature of its digest"},
		},
		"a stick that failed":    {result.Stick{Node: "n1", Bundle: "b", Error: "no room", Next: "make room"}, []string{"FAILED: no room", "-> make room", "STOP", "result-n1.txt"}},
		"signed":                 {result.Sign{Bundle: "b", Signature: "b.sig", Key: "SHA256:x"}, []string{"OK: b is signed: b.sig", "fingerprint: SHA256:x"}},
		"a list in a file":       {result.List{Document: imagelist.Document{Unresolved: nil}, Output: "images.lst"}, []string{"images.lst: 0 images"}},
		"written files":          {result.Written{Dir: "/c", Files: []string{"10-x.yaml"}, Left: []string{"20-y.yaml"}}, []string{"/c/10-x.yaml\n", "/c/20-y.yaml: of an earlier run"}},
		"a dry run":              {result.NewWould(&dryrun.Plan{Steps: []dryrun.Step{{Do: "remove", What: evil, Bytes: 1 << 20}}}), []string{"remove", `\x1b[2Jy`, "1.0 MiB"}},
		"a dry run with nothing": {result.NewWould(new(dryrun.Plan)), []string{"nothing"}},
	} {
		var out strings.Builder
		if err := test.of.WriteText(&out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q does not have %q", name, out.String(), want)
			}
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: a control character comes through: %q", name, out.String())
		}
		if _, err := json.Marshal(test.of); err != nil {
			t.Errorf("%s: no document: %v", name, err)
		}
	}
}

// failing is a terminal that is gone.
type failing struct{}

var errGone = errors.New("gone")

func (failing) Write([]byte) (int, error) { return 0, errGone }

// TestWriteErrors holds that a document which could not be written is an error.
func TestWriteErrors(t *testing.T) {
	t.Parallel()
	for _, of := range []shown{
		result.Clean{}, result.Retire{}, result.Mounts{Slots: []string{"a"}}, result.Seal{}, result.Import{}, result.Stick{Error: "x"},
		result.Sign{}, result.Written{Files: []string{"x"}}, result.NewWould(new(dryrun.Plan)),
	} {
		if err := of.WriteText(failing{}); !errors.Is(err, errGone) {
			t.Errorf("%T: %v", of, err)
		}
	}
}

// TestRepair holds what verify --repair says: what was damaged, and whether it still is.
func TestRepair(t *testing.T) {
	t.Parallel()
	damaged := &image.Verified{Report: &verify.Report{Images: 1, Layers: 2, Findings: []verify.Finding{{Path: "overlay/x", Err: errGone}}, Hurt: []string{"app"}}}
	whole := &image.Verified{Report: &verify.Report{Images: 1, Layers: 2}}
	for name, test := range map[string]struct {
		after    *image.Verified
		ok       bool
		repaired bool
		left     int
	}{
		"repaired":      {whole, true, true, 0},
		"still damaged": {damaged, false, false, 1},
	} {
		out := result.NewStore("/s/a", damaged)
		if out.OK || len(out.Damage) != 1 || len(out.Hurt) != 1 {
			t.Fatalf("before: %+v", out)
		}
		out.Repair(result.NewStore("/s/a", test.after), &install.Result{Counts: store.Counts{Taken: 1, Extracted: 1}})
		if out.OK != test.ok || out.Repaired != test.repaired || len(out.Left) != test.left || out.Taken != 1 {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

func TestPlural(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 layers", 1: "1 layer", 2: "2 layers"} {
		if got := result.Plural(n, "layer"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

// TestNewImport holds that the note of a seal on another machine's disk says who mounts it.
func TestNewImport(t *testing.T) {
	t.Parallel()
	res := &install.Result{Path: "/s/a", Slot: slot.A, Seal: &seal.Report{Targets: 1, Immutable: 1, Notes: []string{"old"}}}
	if here := result.NewImport(res, false); here.Seal.Notes[0] != "old" {
		t.Errorf("here: %v", here.Seal.Notes)
	}
	away := result.NewImport(res, true)
	if !strings.Contains(away.Seal.Notes[0], "that machine's units") || res.Seal.Notes[0] != "old" {
		t.Errorf("on another disk: %v, and the result has %v", away.Seal.Notes, res.Seal.Notes)
	}
}
