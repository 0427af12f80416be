package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

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
	none          noAttachments
	signatures    []string
	policy        trust.File
	registriesDir string
}

func (o *attachmentOptions) addFlags(flags *pflag.FlagSet) {
	flags.Var(&o.none, "no-attachments", "leave signatures and other referrers out, and ask for none: of all images, or of those of `REGISTRY`; may be repeated")
	flags.Lookup("no-attachments").NoOptDefVal = "true"
	flags.StringArrayVar(&o.signatures, "signatures", nil,
		"release signatures: ConfigMaps as YAML, or sha256=HEX/signature-N: `FILE` or directory; may be repeated (--cluster reads those of the cluster)")
	flags.Var(&o.policy, "policy", "containers-policy.json(5) `FILE` of the nodes: an image that it would not let run is an error")
	flags.StringVar(&o.registriesDir, "registries-d", "", "registries.d `DIR` that says where simple signatures are (default the system's)")
}

// noAttachments is the value of --no-attachments: all images, or those of registries.
type noAttachments struct {
	all        bool
	registries []string
}

// String implements pflag.Value.
func (n *noAttachments) String() string {
	if n.all {
		return "true"
	}
	return strings.Join(n.registries, ",")
}

// Type implements pflag.Value.
func (n *noAttachments) Type() string { return "REGISTRY" }

// Set implements pflag.Value.
func (n *noAttachments) Set(s string) error {
	all, err := strconv.ParseBool(s)
	switch {
	case err == nil:
		n.all = all
	case s == "" || strings.ContainsAny(s, "/@ "):
		return errors.New("want a registry as references name it: HOST or HOST:PORT")
	default:
		n.registries = append(n.registries, s)
	}
	return nil
}

// check refuses what makes no sense together.
func (o *attachmentOptions) check() error {
	if o.none.all && o.policy != "" {
		return usageError{errors.New("--policy verifies signatures, which --no-attachments does not fetch")}
	}
	if o.none.all && len(o.signatures) > 0 {
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
		if !o.none.all {
			opts.Attachments, opts.Signatures = mirror.WithoutRegistries(registry, o.none.registries), found.Signatures
		}
		return found.Registry
	}
	src := nodestore.AttachmentSource{
		Source: &nodestore.Source{Stores: stores, Registry: found.Registry}, Elsewhere: registry,
	}
	if !o.none.all {
		opts.Attachments, opts.Signatures = mirror.WithoutRegistries(src, o.none.registries), found.Signatures
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
