package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/imagelist/nodestore"
	"github.com/nodeseal/nodeseal/internal/imagelist/sources"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/pull/policy"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// attachmentOptions say which signatures a bundle carries, and which it must.
type attachmentOptions struct {
	none          noAttachments
	signatures    []string
	policy        trust.File
	registriesDir string
}

func (o *attachmentOptions) addFlags(flags *pflag.FlagSet) {
	flags.Var(&o.none, "no-attachments", "leave signatures and other referrers out, and ask for none: of all images, or with =`REGISTRY` of those of that registry; may be repeated")
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
