package result

import (
	"io"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/ui"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// Import is what import prints. Bytes are those of the unpacked layers.
type Import struct {
	Store string `json:"store"`
	// Slot is the slot that was filled, Already that the bundle was there before.
	Slot    slot.Name `json:"slot,omitempty"`
	Already bool      `json:"already,omitempty"`
	Images  int       `json:"images"`
	// Artifacts are the OCI artifacts of the store, which are not among the images.
	Artifacts int `json:"artifacts,omitempty"`
	// UnreadableArtifacts are names of them under which CRI-O does not find them.
	UnreadableArtifacts []string `json:"unreadableArtifacts,omitempty"`
	References          int      `json:"references"`
	Layers              int      `json:"layers"`
	Files               int64    `json:"files"`
	Bytes               int64    `json:"bytes"`
	TakenOver           int      `json:"takenOver"`
	// Originals are the layers that the store keeps as a registry has them.
	Originals *Originals `json:"originals,omitempty"`
	// Taken are layers from the other slot or from stores of the base, Extracted
	// those from the bundle or from bundles of the base.
	Taken     int `json:"taken,omitempty"`
	Extracted int `json:"extracted"`
	// Based are the layers that the bundle left to its base, Base where they were.
	Based int      `json:"based,omitempty"`
	Base  []string `json:"base,omitempty"`
	// Image is the file that holds the store, where one does, with its digest and
	// its length.
	Image      string        `json:"image,omitempty"`
	Digest     digest.Digest `json:"digest,omitempty"`
	ImageBytes int64         `json:"imageBytes,omitempty"`
	// Signature is the file with the signature of Image's digest, with --sign-key.
	Signature string       `json:"signature,omitempty"`
	Seal      *seal.Report `json:"seal,omitempty"`
	// Next is what is left to do, in one line.
	Next string `json:"next,omitempty"`
}

// Step returns the import with what is left to do: configured reports whether the node's
// storage.conf names a store.
func (r Import) Step(configured func(store string) bool) Import {
	switch {
	case r.Seal == nil && r.Image != "" && r.Slot == "":
		r.Next = "DONE: on a node, nodeseal import " + r.Image + " puts it into a slot"
	case configured(r.Store):
		r.Next = "DONE: this node holds the images and needs no registry for them"
	default:
		r.Next = "ONE STEP IS LEFT: the node's storage.conf does not name " + r.Store + ", so CRI-O and podman do not see it: nodeseal config storage.conf " + r.storeFlags() + " prints one that does"
	}
	return r
}

// storeFlags name the store; of a slot both slots, because storage.conf names both.
func (r Import) storeFlags() string {
	if r.Slot == "" {
		return "--store " + visible.ShellWord(r.Store)
	}
	root := filepath.Dir(r.Store)
	return "--store " + visible.ShellWord(filepath.Join(root, "a")) + " --store " + visible.ShellWord(filepath.Join(root, "b"))
}

// NewImport describes an import into a store of this machine, or, if away, of a disk of
// another one.
func NewImport(r *install.Result, away bool) Import {
	out := Import{
		Store: r.Path, Slot: r.Slot, Already: r.Already, Images: r.Images, Artifacts: r.Artifacts, UnreadableArtifacts: r.UnreadableArtifacts, References: r.References, Layers: r.Layers,
		Originals: countedOriginals(r.Originals, r.OriginalBytes),
		Files:     r.Files, Bytes: r.Bytes, TakenOver: r.TakenOver, Taken: r.Taken, Extracted: r.Extracted,
		Based: r.Based, Base: r.Base, Image: r.File, Digest: r.Image.Digest, ImageBytes: r.Image.Size, Signature: r.Signature, Seal: r.Seal,
	}
	if away && r.Seal != nil && r.Seal.FlagsSet() {
		rep := *r.Seal
		rep.Notes = []string{"that machine's units mount it read-only when it starts (nodeseal config)"}
		out.Seal = &rep
	}
	return out
}

// WriteText shows it to people. The last line says what is left to do.
func (r Import) WriteText(w io.Writer) error {
	p := &printer{w: w}
	r.write(p)
	if r.Next != "" {
		p.line("%s", r.Next)
	}
	return p.err
}

func (r Import) write(p *printer) {
	switch {
	case r.Already && r.Slot == "":
		p.line("OK: nothing to do: %s holds this bundle", r.Store)
	case r.Already:
		p.line("OK: nothing to do: slot %s holds this bundle (%s)", r.Slot, r.Store)
	case r.Images == 0 && r.Artifacts == 0:
		p.line("OK: %s holds what an earlier run had finished", r.Store)
	default:
		p.line("OK: %s holds %s under %s, %s, %s", r.Store, Plural(r.Images, "image"), Plural(r.References, "reference"),
			Plural(r.Layers, "layer"), ui.Bytes(max(r.Bytes, r.ImageBytes)))
	}
	if r.Artifacts > 0 {
		p.line("%s in a store of artifacts for CRI-O, in %s/artifacts", Plural(r.Artifacts, "OCI artifact"), r.Store)
	}
	for _, name := range r.UnreadableArtifacts {
		p.line("%s: CRI-O reads no OCI artifact of this name, only nodeseal serve answers it", name)
	}
	r.Originals.Line(p.line)
	if r.Based > 0 {
		p.line("%s from the base, verified: %s", Plural(r.Based, "layer"), strings.Join(r.Base, ", "))
	}
	if r.Digest != "" {
		p.line("%s: %s, %s", r.Image, ui.Bytes(r.ImageBytes), r.Digest)
	}
	if r.Signature != "" {
		p.line("%s: signature of its digest", r.Signature)
	}
	if p.err == nil && r.Seal != nil {
		p.err = Seal{*r.Seal}.WriteText(p.w)
	}
}
