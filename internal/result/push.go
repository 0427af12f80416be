package result

import (
	"io"
	"strings"
	"text/tabwriter"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/push"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Push is what push prints. Sizes are in bytes.
type Push struct {
	Bundle string `json:"bundle"`
	// Registry is REGISTRY[/PREFIX].
	Registry string        `json:"registry"`
	Images   []PushedImage `json:"images"`
	// Sent are the blobs that were sent, Mounted those that the registry took from another of
	// its repositories, There those that it had. A blob counts once for each repository.
	Sent    push.Amount `json:"sent"`
	Mounted push.Amount `json:"mounted"`
	There   push.Amount `json:"there"`
	// LooseSignatures are signatures that no registry keeps: of releases, and of lookaside servers.
	LooseSignatures int           `json:"looseSignatures,omitempty"`
	Failed          []FailedImage `json:"failed"`
	// MirrorSets are an ImageDigestMirrorSet and, for tags, an ImageTagMirrorSet, as YAML: for
	// the sources of images that the registry has now.
	MirrorSets string `json:"mirrorSets"`
}

// PushedImage is an image that the registry has.
type PushedImage struct {
	Ref string `json:"ref"`
	// Digest is the manifest's in the bundle, Pushed that in the registry: another one if the
	// layers were recompressed.
	Digest digest.Digest `json:"digest"`
	Pushed digest.Digest `json:"pushed"`
	// Names are the references that the registry answers.
	Names []string    `json:"names"`
	List  *PushedList `json:"list,omitempty"`
	// Attached are signatures and other referrers that went along, NotAttached those that are
	// about the digest that the image had.
	Attached    int `json:"attached,omitempty"`
	NotAttached int `json:"notAttached,omitempty"`
}

// PushedList is the manifest list that a reference names.
type PushedList struct {
	Digest digest.Digest `json:"digest"`
	// Missing are the platforms whose images neither the bundle nor the registry has.
	Missing []string `json:"missing,omitempty"`
	// Error is why the registry does not have the list.
	Error string `json:"error,omitempty"`
}

// NewPush describes a push.
func NewPush(bundle string, target push.Target, res *push.Result) Push {
	out := Push{
		Bundle: bundle, Registry: string(target), Sent: res.Sent, Mounted: res.Mounted, There: res.There,
		LooseSignatures: res.Loose, MirrorSets: res.MirrorSets, Images: []PushedImage{}, Failed: []FailedImage{},
	}
	for _, img := range res.Images {
		if img.Err != nil {
			out.Failed = append(out.Failed, FailedImage{Ref: img.Ref, Error: img.Err.Error()})
			continue
		}
		is := PushedImage{
			Ref: img.Ref, Digest: img.Digest, Pushed: img.Pushed, Names: img.Names,
			Attached: img.Attached, NotAttached: img.Unattached,
		}
		if l := img.List; l != nil {
			is.List = &PushedList{Digest: l.Digest, Missing: l.Missing}
			if l.Err != nil {
				is.List.Error = l.Err.Error()
			}
		}
		out.Images = append(out.Images, is)
	}
	return out
}

// Complete reports whether the registry has every image under every name.
func (r Push) Complete() bool {
	for _, img := range r.Images {
		if img.List != nil && img.List.Error != "" {
			return false
		}
	}
	return len(r.Failed) == 0
}

// WriteText shows it to people.
func (r Push) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.line("%s: %s, sent %s in %s, mounted %s, already there %s", r.Registry, Plural(len(r.Images), "image"),
		ui.Bytes(r.Sent.Bytes), Plural(r.Sent.Blobs, "blob"), ui.Bytes(r.Mounted.Bytes), ui.Bytes(r.There.Bytes))
	attached, unattached := 0, 0
	for _, img := range r.Images {
		attached += img.Attached
		unattached += img.NotAttached
		img.List.line(p, img.Ref)
	}
	if attached > 0 {
		p.line("with %s", Plural(attached, "attachment"))
	}
	if r.LooseSignatures > 0 {
		p.line("%s of releases or lookaside servers: no registry keeps them (nodeseal config signatures)", Plural(r.LooseSignatures, "signature"))
	}
	r.changed(p, unattached)
	for _, f := range r.Failed {
		p.line("NOT pushed: %s: %s", f.Ref, f.Error)
	}
	if r.MirrorSets != "" {
		p.line("\nfor the cluster (oc apply -f FILE):\n---")
		for line := range strings.Lines(r.MirrorSets) {
			p.line("%s", strings.TrimSuffix(line, "\n"))
		}
	}
	return p.err
}

// line says what became of a list, if there is one that is not as it was.
func (l *PushedList) line(p *printer, ref string) {
	switch {
	case l == nil || len(l.Missing) == 0 && l.Error == "":
	case l.Error != "" && len(l.Missing) == 0:
		p.line("NOT by its list: %s: %s", ref, l.Error)
	case l.Error != "":
		p.line("NOT by its list: %s: %s; bundle and registry lack %s: bundle them with --platform, or use a registry that takes such lists. "+
			"The image is there by its own digest and its tags", ref, l.Error, strings.Join(l.Missing, ", "))
	default:
		p.line("list without %s: %s: the registry took it; nodes of the platforms that it has find their image", strings.Join(l.Missing, ", "), ref)
	}
}

// changed shows the digests that are others than in the bundle.
func (r Push) changed(p *printer, unattached int) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	pt := &printer{w: t}
	some := false
	for _, img := range r.Images {
		if img.Digest == img.Pushed {
			continue
		}
		if !some {
			pt.line("recompressed: references by digest, as pods and releases have them, do NOT find these images")
			pt.line("OLD\tNEW\tIMAGE")
			some = true
		}
		pt.line("%s\t%s\t%s", img.Digest, img.Pushed, img.Ref)
	}
	if unattached > 0 {
		pt.line("%s of the old digests: not pushed", Plural(unattached, "attachment"))
	}
	if pt.err == nil {
		pt.err = t.Flush()
	}
	p.err = pt.err
}
