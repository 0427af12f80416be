package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/imagelist/nodestore"
	"github.com/nodeseal/nodeseal/internal/imagelist/sources"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/pull/policy"
	"github.com/nodeseal/nodeseal/internal/trust"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// attachmentOptions say which signatures a bundle carries, and which it must.
type attachmentOptions struct {
	none          bool
	signatures    []string
	policy        trust.File
	registriesDir string
}

func (o *attachmentOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.none, "no-attachments", false, "leave signatures and other referrers of the images out, and ask for none")
	flags.StringArrayVar(&o.signatures, "signatures", nil,
		"release signatures: ConfigMaps as YAML, or sha256=HEX/signature-N: `FILE` or directory; may be repeated (--cluster reads those of the cluster)")
	flags.Var(&o.policy, "policy", "containers-policy.json(5) `FILE` of the nodes: an image that it would not let run is an error")
	flags.StringVar(&o.registriesDir, "registries-d", "", "registries.d `DIR` that says where simple signatures are (default the system's)")
}

// check refuses what makes no sense together.
func (o *attachmentOptions) check() error {
	if o.none && o.policy != "" {
		return usageError{errors.New("--policy verifies signatures, which --no-attachments does not fetch")}
	}
	if o.none && len(o.signatures) > 0 {
		return usageError{errors.New("--signatures and --no-attachments cannot both be given")}
	}
	return nil
}

// read adds the policy to the engine's options.
func (o *attachmentOptions) read(opts *mirror.Options) error {
	if o.policy == "" {
		return nil
	}
	p, err := policy.Read(string(o.policy))
	if err != nil {
		return usageError{fmt.Errorf("--policy %s: %w", o.policy, err)}
	}
	opts.Policy = p
	return nil
}

// files are the files of --signatures.
func (o *attachmentOptions) files(a *app) ([]sources.File, error) {
	var paths []string
	for _, path := range o.signatures {
		if !form.IsDir(path) {
			paths = append(paths, path)
			continue
		}
		err := filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("--signatures: %w", err)
		}
	}
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return nil, usageError{fmt.Errorf("--signatures: %w", err)}
		}
	}
	return a.files(paths), nil
}

// source gives the engine its sources, with attachments where they are wanted.
func (o *attachmentOptions) source(found *sources.Result, stores []*nodestore.Store, opts *mirror.Options) mirror.Source {
	registry, _ := found.Registry.(mirror.AttachmentSource)
	if len(stores) == 0 {
		if !o.none {
			opts.Attachments, opts.Signatures = registry, found.Signatures
		}
		return found.Registry
	}
	src := nodestore.AttachmentSource{
		Source: &nodestore.Source{Stores: stores, Registry: found.Registry}, Elsewhere: registry,
	}
	if !o.none {
		opts.Attachments, opts.Signatures = src, found.Signatures
	}
	return src
}

// attachedResult is what bundle prints of signatures and other referrers.
type attachedResult struct {
	// Attachments is how many different ones there are, Bytes the size of their blobs.
	Attachments int   `json:"attachments"`
	Bytes       int64 `json:"bytes"`
	// Unsigned are the images of which no signature was found.
	Unsigned []string `json:"unsigned"`
	// NotCarried are attachments that are not in the bundle, and why.
	NotCarried []failedImage `json:"notCarried,omitempty"`
}

// newAttachedResult is nil where none were looked for.
func newAttachedResult(o mirror.Options, found mirror.Attached) *attachedResult {
	if o.Attachments == nil {
		return nil
	}
	return &attachedResult{
		Attachments: found.Count, Bytes: found.Bytes,
		Unsigned: append([]string{}, found.Unsigned...), NotCarried: failedImages(found.Problems),
	}
}

// inventoryAttached sums up the attachments of a bundle or store, nil where it has
// none.
func inventoryAttached(inv *bundle.Inventory) *attachedResult {
	out := &attachedResult{Unsigned: []string{}}
	seen := make(map[digest.Digest]bool)
	for i := range inv.Images {
		img := &inv.Images[i]
		if !img.Signed() {
			out.Unsigned = append(out.Unsigned, img.Ref)
		}
		for _, a := range img.Attachments {
			if !seen[a.Digest] {
				seen[a.Digest] = true
				out.Attachments++
			}
		}
	}
	for _, b := range inv.Blobs {
		if b.Kind == bundle.KindAttachment {
			out.Bytes += b.Size
		}
	}
	if out.Attachments == 0 {
		return nil
	}
	return out
}

func (r *attachedResult) line(p *printer, images int) {
	if r == nil {
		return
	}
	p.line("%s, %s; %d of %d images are signed", plural(r.Attachments, "attachment"), ui.Bytes(r.Bytes), images-len(r.Unsigned), images)
}

// attachmentCounts says how many attachments of which kind there are.
func attachmentCounts(all []bundle.Attachment) string {
	counts := make(map[string]int)
	text := ""
	for _, a := range all {
		counts[a.Kind]++
	}
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		if text != "" {
			text += ", "
		}
		text += plural(counts[kind], kind)
	}
	return text
}
