package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/pull"
)

// ErrSparse is wrapped when a registry refuses a list because images of it are missing.
var ErrSparse = errors.New("the registry refuses a list whose images are not all there")

// parsedList is what of a list is needed.
type parsedList struct {
	MediaType string          `json:"mediaType"`
	Manifests []v1.Descriptor `json:"manifests"`
}

// list reads a list out of the bundle.
func (p *pusher) list(ctx context.Context, d digest.Digest) (document, error) {
	data, err := p.o.Source.ReadBlob(ctx, d)
	if err != nil {
		return document{}, err
	}
	var l parsedList
	if err := jsonbound.Unmarshal(data, &l); err != nil {
		return document{}, fmt.Errorf("%w: list %s: %w", bundle.ErrChain, d, err)
	}
	if l.MediaType == "" {
		l.MediaType = v1.MediaTypeImageIndex
	}
	return document{digest: d, mediaType: l.MediaType, data: data}, nil
}

// lists pushes the lists that references name, once all images are there. One that the bundle
// has not all images of is offered as it is: a pod that asks by the digest of the list needs
// these very bytes, and some registries take them.
func (p *pusher) lists(ctx context.Context) error {
	there := p.arrived()
	done := make(map[string]*List)
	for i, it := range p.plan.items {
		out := &p.out.Images[i]
		if it.Index == "" || it.changed || out.Err != nil {
			continue
		}
		out.List = &List{Digest: it.Index}
		for _, pl := range it.places {
			if !pl.byList {
				continue
			}
			at := pl.repository + "@" + it.Index.String()
			if done[at] == nil {
				l, err := p.pushList(ctx, pl.repository, it.Index, there)
				if err != nil && (!p.o.KeepGoing || ctx.Err() != nil || isDamage(err)) {
					return fmt.Errorf("pushing the list of %s to %s: %w", it.Ref, p.o.Target, err)
				}
				if err != nil {
					l = &List{Err: err}
				}
				done[at] = l
			}
			out.List.Missing = done[at].Missing
			if done[at].Err != nil {
				out.List.Err = done[at].Err
				continue
			}
			out.Names = append(out.Names, at)
		}
	}
	return nil
}

// arrived are the manifests, repository@digest, of the images that have not failed.
func (p *pusher) arrived() map[string]bool {
	there := make(map[string]bool)
	for i, it := range p.plan.items {
		for _, pl := range it.places {
			if p.out.Images[i].Err == nil && !it.changed {
				there[pl.repository+"@"+it.Digest.String()] = true
			}
		}
	}
	return there
}

// pushList pushes a list into one repository. That a registry refuses one with missing images
// is no error.
func (p *pusher) pushList(ctx context.Context, repository string, d digest.Digest, there map[string]bool) (*List, error) {
	doc, err := p.list(ctx, d)
	if err != nil {
		return nil, err
	}
	out := &List{Digest: d}
	if out.Missing, err = p.missing(ctx, doc, repository, there); err != nil {
		return nil, err
	}
	_, err = p.r.put(ctx, repository, doc, d.String())
	var status *pull.StatusError
	if len(out.Missing) > 0 && errors.As(err, &status) && refuses(status.Status) {
		out.Err = fmt.Errorf("%w: %w", ErrSparse, err)
		return out, nil
	}
	return out, err
}

// refuses reports the answers with which registries refuse a list for what it names.
func refuses(status int) bool {
	return slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusConflict}, status)
}

// missing are the platforms of a list that are not in the repository, sorted. It is asked for
// those that are not known to be there: an earlier push may have brought them.
func (p *pusher) missing(ctx context.Context, doc document, repository string, there map[string]bool) (out []string, err error) {
	var l parsedList
	if err := jsonbound.Unmarshal(doc.data, &l); err != nil {
		return nil, fmt.Errorf("%w: list %s: %w", bundle.ErrChain, doc.digest, err)
	}
	for _, m := range l.Manifests {
		at := repository + "@" + m.Digest.String()
		if !there[at] {
			if there[at], err = p.r.hasManifest(ctx, repository, m); err != nil {
				return nil, err
			}
		}
		if !there[at] {
			out = append(out, platform(m))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// platform names an entry of a list.
func platform(m v1.Descriptor) string {
	if m.Platform == nil || m.Platform.OS == "" || m.Platform.OS == "unknown" {
		return m.Digest.String()
	}
	return strings.TrimRight(m.Platform.OS+"/"+m.Platform.Architecture+"/"+m.Platform.Variant, "/")
}
