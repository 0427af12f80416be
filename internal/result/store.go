package result

import (
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Store is what verify prints about a store. Bytes are those of the
// layers' plain tars, or those of the image where that was proven by its digest.
type Store struct {
	Store  string `json:"store"`
	OK     bool   `json:"ok"`
	Images int    `json:"images"`
	Layers int    `json:"layers"`
	// Artifacts are the OCI artifacts, which are not among the images.
	Artifacts int   `json:"artifacts,omitempty"`
	Bytes     int64 `json:"bytes"`
	// Originals are the layers that are whole as a registry has them.
	Originals *Originals    `json:"originals,omitempty"`
	Damage    []StoreDamage `json:"damage"`
	// Image is the file that holds the store, where one does, Digest what it has, and
	// Recorded what was recorded when it was made.
	Image    string        `json:"image,omitempty"`
	Digest   digest.Digest `json:"digest,omitempty"`
	Recorded digest.Digest `json:"recorded,omitempty"`
	// Hurt are the names of images that the damage touches.
	Hurt []string `json:"hurt"`
	// Missing are the references of --images that the store does not hold.
	Missing []string `json:"missing,omitempty"`
	// Repaired says that the damage was there and is no more: Taken layers were
	// whole, Extracted came from the bundle. Left is what is damaged still.
	Repaired  bool          `json:"repaired,omitempty"`
	Taken     int           `json:"taken,omitempty"`
	Extracted int           `json:"extracted,omitempty"`
	Left      []StoreDamage `json:"left,omitempty"`
	Seal      *seal.Report  `json:"seal,omitempty"`
}

// StoreDamage is a place of a store that is not what it must be.
type StoreDamage struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

// NewStore describes what a verification of the store at path found.
func NewStore(path string, rep *image.Verified) *Store {
	out := &Store{
		Store: path, OK: len(rep.Findings) == 0, Images: rep.Images, Artifacts: rep.Artifacts, Layers: rep.Layers, Bytes: rep.Bytes,
		Originals: countedOriginals(rep.Originals, rep.OriginalBytes),
		Damage:    make([]StoreDamage, len(rep.Findings)), Hurt: append([]string{}, rep.Hurt...),
	}
	if rep.Digest != "" {
		out.Image, _ = form.FileAt(path)
		out.Digest, out.Recorded = rep.Digest, rep.Recorded
		if out.OK {
			out.Bytes = rep.Size
		}
	}
	for i, f := range rep.Findings {
		out.Damage[i] = StoreDamage{Path: f.Path, Error: f.Err.Error()}
	}
	return out
}

// Repair adds what a repair did, and what was found after it.
func (r *Store) Repair(after *Store, res *install.Result) {
	r.OK, r.Repaired, r.Left, r.Seal = after.OK, after.OK, after.Damage, res.Seal
	r.Images, r.Layers, r.Bytes, r.Originals = after.Images, after.Layers, after.Bytes, after.Originals
	r.Artifacts = after.Artifacts
	r.Image, r.Digest, r.Recorded = after.Image, after.Digest, after.Recorded
	r.Taken, r.Extracted = res.Taken, res.Extracted
}

// WriteText shows it to people.
func (r *Store) WriteText(w io.Writer) error {
	p := &printer{w: w}
	for _, d := range r.Damage {
		p.line("DAMAGED  %s: %s", d.Path, d.Error)
	}
	for _, name := range r.Hurt {
		p.line("HURT     %s", name)
	}
	for _, ref := range r.Missing {
		p.line("MISSING  %s", ref)
	}
	for _, d := range r.Left {
		p.line("LEFT     %s: %s", d.Path, d.Error)
	}
	switch {
	case !r.OK:
		p.line("NOT OK: %s damaged, %s hurt, %s missing", Plural(len(r.Damage), "place"),
			Plural(len(r.Hurt), "reference"), Plural(len(r.Missing), "reference"))
	case r.Repaired:
		p.line("REPAIRED: %s: %s were whole, %d came from the bundle", r.Store, Plural(r.Taken, "layer"), r.Extracted)
	}
	switch {
	case !r.OK:
	case r.Image != "":
		p.line("OK: %s in %s, %s; every manifest and configuration is proven, and %s has the digest recorded beside it, %s; its layers were not read one by one", Plural(r.Images, "image"),
			Plural(r.Layers, "layer"), ui.Bytes(r.Bytes), r.Image, r.Digest)
	default:
		p.line("OK: %s in %s, %s; every file is what its layer's diff ID says", Plural(r.Images, "image"),
			Plural(r.Layers, "layer"), ui.Bytes(r.Bytes))
	}
	if r.OK && r.Artifacts > 0 {
		p.line("%s in the store of artifacts", Plural(r.Artifacts, "OCI artifact"))
	}
	if r.OK {
		r.Originals.Line(p.line)
	}
	if p.err == nil && r.Seal != nil {
		p.err = Seal{*r.Seal}.WriteText(w)
	}
	return p.err
}
