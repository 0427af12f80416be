// Package imageset reads oc-mirror's ImageSetConfiguration (mirror.openshift.io v1alpha2 and v2alpha1): what it
// asks for as exact releases, catalogs, images and charts, and by name what only the update graph could say.
package imageset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/imagelist/catalog"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// Kind is the kind of a configuration.
const Kind = "ImageSetConfiguration"

const (
	v1api = "mirror.openshift.io/v1alpha2"
	v2api = "mirror.openshift.io/v2alpha1"
)

// maxItems bounds the releases, operators, images, charts and patterns of a file, all together.
const maxItems = 50_000

// ErrImageSet is wrapped by errors about a file that is no ImageSetConfiguration.
var ErrImageSet = errors.New("not an ImageSetConfiguration that can be read")

// Set is what a file asks for.
type Set struct {
	// Releases are the references of release images.
	Releases []Release
	// Architectures are those that the file names, in the words of GOARCH; none means that it names none.
	Architectures []string
	Operators     []Operator
	Images        []Image
	Charts        []Chart
	// Open is what the file asks for and the list cannot have, each with the reason.
	Open []error
	// Notes are what else people should know.
	Notes   []string
	blocked []*regexp.Regexp
}

// Release is a release image.
type Release struct {
	// Ref is its reference; Version what it must be, "" for any.
	Ref, Version string
	// Arch is the architecture whose payload it has, in the words of GOARCH; "" for all of them.
	Arch string
}

// Operator is a catalog, and what of it is wanted.
type Operator struct {
	Catalog string
	Want    catalog.Want
}

// Image is an additional image, with the platforms to keep of it (os/arch; none for all that are wanted).
type Image struct {
	Name      string
	Platforms []string
}

// Chart is a chart in a file.
type Chart struct{ Name, Path string }

// Blocked reports whether a pattern of the file matches one of an image's names.
func (s *Set) Blocked(names ...string) bool {
	return slices.ContainsFunc(s.blocked, func(p *regexp.Regexp) bool { return slices.ContainsFunc(names, p.MatchString) })
}

// Parse reads all configurations of a file, as YAML or JSON. Errors wrap ErrImageSet or kubeobject.ErrObject, or are r's.
func Parse(r io.Reader) (*Set, error) {
	s, n := new(Set), 0
	err := kubeobject.ReadStrict(r, func(o kubeobject.Object) error {
		n++
		return s.add(o)
	})
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, fmt.Errorf("%w: the file has no object", ErrImageSet)
	}
	return s, nil
}

func (s *Set) add(o kubeobject.Object) error {
	switch {
	case o.Kind != Kind:
		return fmt.Errorf("%w: kind %q, want %s", ErrImageSet, o.Kind, Kind)
	case o.APIVersion != v1api && o.APIVersion != v2api:
		return fmt.Errorf("%w: apiVersion %q, want %s or %s", ErrImageSet, o.APIVersion, v1api, v2api)
	}
	var c config
	dec := json.NewDecoder(bytes.NewReader(o.Raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		name, unknown := strings.CutPrefix(err.Error(), "json: unknown field ")
		if !unknown {
			return fmt.Errorf("%w: %w", ErrImageSet, err)
		}
		// A misspelt field may ask for images that nobody would miss before it is too late.
		s.open("the field %s is not known: what it asks for is not in the list, and neither may be what other unknown fields ask for", name)
		c = config{}
		if err := json.Unmarshal(o.Raw, &c); err != nil {
			return fmt.Errorf("%w: %w", ErrImageSet, err)
		}
	}
	if err := s.platform(&c.Mirror.Platform); err != nil {
		return err
	}
	if o.APIVersion == v1api && slices.ContainsFunc(c.Mirror.Operators, func(i operatorItem) bool { return !i.SkipDependencies && len(i.Packages) > 0 }) {
		s.Notes = append(s.Notes, "operators: oc-mirror v1 adds the operators that the named ones depend on. They are not in the list: name them as packages, or say skipDependencies: true where there are none")
	}
	s.operators(c.Mirror.Operators)
	for _, i := range c.Mirror.AdditionalImages {
		s.Images = append(s.Images, Image{Name: string(i.Name), Platforms: platforms(i.Platforms)})
	}
	s.helm(&c.Mirror.Helm)
	for _, b := range c.Mirror.BlockedImages {
		pattern, err := regexp.Compile(string(b.Name))
		if err != nil {
			return fmt.Errorf("%w: blockedImages %q: %w", ErrImageSet, b.Name, err)
		}
		s.blocked = append(s.blocked, pattern)
	}
	if len(c.Mirror.Samples) > 0 {
		s.open("samples: oc-mirror does not mirror them, and they are not looked for here")
	}
	return s.room()
}

// room returns an error if the file asks for more than maxItems.
func (s *Set) room() error {
	if n := len(s.Releases) + len(s.Operators) + len(s.Images) + len(s.Charts) + len(s.Open) + len(s.blocked); n > maxItems {
		return fmt.Errorf("%w: it asks for more than %d things", ErrImageSet, maxItems)
	}
	return nil
}

func (s *Set) open(format string, args ...any) { s.Open = append(s.Open, fmt.Errorf(format, args...)) }
