package catalog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

const (
	// maxObject bounds one object of a catalog, in bytes: a bundle with all of its manifests in it.
	maxObject = 16 << 20
	// maxKept bounds what is kept of a catalog, in bytes, about. All of OpenShift's default catalogs
	// together take a quarter of it.
	maxKept = 64 << 20
	// itemSize is what a name costs besides its bytes.
	itemSize = 64
)

var (
	// ErrCatalog is wrapped by errors about a catalog that is not valid.
	ErrCatalog = errors.New("operator catalog is not valid")
	// ErrTooLarge is wrapped by the error about a catalog of more than is held in memory.
	ErrTooLarge = errors.New("operator catalog is too large")
)

// The schemas of the objects that are looked at.
const (
	schemaPackage = "olm.package"
	schemaChannel = "olm.channel"
	schemaBundle  = "olm.bundle"
)

// Catalog is what is kept of a catalog. The zero value is empty and ready for use.
type Catalog struct {
	// Wanted, where not nil, says of which packages anything is kept.
	Wanted   func(name string) bool
	packages map[string]*contents
	lost     []error // what could not be read of it
	kept     int
}

// contents are what a package has.
type contents struct {
	channels map[string][]entry
	bundles  map[string]found
}

// entry is a bundle in a channel.
type entry struct {
	Name     string   `json:"name"`
	Replaces string   `json:"replaces"`
	Skips    []string `json:"skips"`
}

// found is a bundle.
type found struct {
	version string
	images  []string
}

// object is what is read of any object of a catalog.
type object struct {
	Schema        string  `json:"schema"`
	Name          string  `json:"name"`
	Package       string  `json:"package"`
	Image         string  `json:"image"`
	Entries       []entry `json:"entries"`
	RelatedImages []struct {
		Image string `json:"image"`
	} `json:"relatedImages"`
	Properties []struct {
		Type  string          `json:"type"`
		Value json.RawMessage `json:"value"`
	} `json:"properties"`
}

// ReadJSON adds the objects of one file, one after the other. Errors wrap ErrCatalog or ErrTooLarge, or are those of r.
func (c *Catalog) ReadJSON(r io.Reader) error {
	in := &bounded{r: r}
	dec := json.NewDecoder(in)
	for n := 1; ; n++ {
		in.left = maxObject
		var raw json.RawMessage
		switch err := dec.Decode(&raw); {
		case errors.Is(err, io.EOF):
			return nil
		case in.err != nil:
			return in.err
		case errors.Is(err, errLong):
			return fmt.Errorf("%w: object %d has more than %d bytes", ErrTooLarge, n, maxObject)
		case err != nil:
			return fmt.Errorf("%w: object %d: %w", ErrCatalog, n, err)
		}
		if err := c.add(raw); err != nil {
			return fmt.Errorf("object %d: %w", n, err)
		}
	}
}

// errLong is what bounded returns after the bytes of one object.
var errLong = errors.New("object is too long")

// bounded is a reader of at most left bytes, which is set again for each object.
type bounded struct {
	r    io.Reader
	left int
	err  error // of r, other than its end
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// ReadYAML adds the objects of one file, YAML documents. Errors are as those of ReadJSON.
func (c *Catalog) ReadYAML(r io.Reader) error {
	lines := bufio.NewReader(r)
	var doc strings.Builder
	atStart := true // of a line
	for n := 1; ; {
		line, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !long && !errors.Is(err, io.EOF) {
			return err
		}
		end := err != nil && !long
		isNext, more := false, true
		if atStart {
			isNext, more = kubeobject.DocumentMark(line)
			more = more || long
		}
		atStart = !long
		if !isNext {
			doc.Write(line)
			if doc.Len() > maxObject {
				return fmt.Errorf("%w: document %d has more than %d bytes", ErrTooLarge, n, maxObject)
			}
			if !end {
				continue
			}
		}
		if err := c.addYAML(doc.String()); err != nil {
			return fmt.Errorf("document %d: %w", n, err)
		}
		doc.Reset()
		n++
		if isNext && more {
			doc.Write(line)
		}
		if end && doc.Len() == 0 {
			return nil
		}
	}
}

func (c *Catalog) addYAML(text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var raw json.RawMessage
	if err := kubeobject.UnmarshalSingleYAML(text, &raw); err != nil {
		return fmt.Errorf("%w: %w", ErrCatalog, err)
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return c.add(raw)
}

// add keeps what an object says of a package that is wanted.
func (c *Catalog) add(raw json.RawMessage) error {
	var o object
	if err := jsonbound.Unmarshal(raw, &o); err != nil {
		return fmt.Errorf("%w: %w", ErrCatalog, err)
	}
	name := o.Package
	if o.Schema == schemaPackage {
		name = o.Name
	}
	switch o.Schema {
	case schemaPackage, schemaChannel, schemaBundle:
	default:
		return nil // deprecations, icons and what others put there
	}
	if name == "" || o.Name == "" {
		return fmt.Errorf("%w: %s without the name of its package or its own", ErrCatalog, o.Schema)
	}
	if c.Wanted != nil && !c.Wanted(name) {
		return nil
	}
	p := c.contents(name)
	switch o.Schema {
	case schemaChannel:
		for _, e := range o.Entries {
			c.keep(e.Name, e.Replaces)
			c.keep(e.Skips...)
		}
		p.channels[o.Name] = append(p.channels[o.Name], o.Entries...)
	case schemaBundle:
		b := found{version: o.version(), images: make([]string, 0, 1+len(o.RelatedImages))}
		if o.Image != "" {
			b.images = append(b.images, o.Image)
		}
		for _, r := range o.RelatedImages {
			if r.Image != "" && r.Image != o.Image {
				b.images = append(b.images, r.Image)
			}
		}
		c.keep(b.version)
		c.keep(b.images...)
		p.bundles[o.Name] = b
	}
	c.keep(o.Name, name)
	if c.kept > maxKept {
		return fmt.Errorf("%w: what is wanted of it takes more than %d MiB: name fewer packages", ErrTooLarge, maxKept>>20)
	}
	return nil
}

func (c *Catalog) keep(texts ...string) {
	for _, s := range texts {
		c.kept += itemSize + len(s)
	}
}

func (c *Catalog) contents(name string) *contents {
	if c.packages == nil {
		c.packages = make(map[string]*contents)
	}
	p := c.packages[name]
	if p == nil {
		p = &contents{channels: make(map[string][]entry), bundles: make(map[string]found)}
		c.packages[name] = p
	}
	return p
}

// version is a bundle's, from its property olm.package; "" if it has none.
func (o *object) version() string {
	for _, p := range o.Properties {
		var v struct {
			Version string `json:"version"`
		}
		if p.Type == schemaPackage && json.Unmarshal(p.Value, &v) == nil {
			return v.Version
		}
	}
	return ""
}
