package rehearse

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// Image is an image that was asked for while the cut was in force.
type Image struct {
	// Image is the reference as it was asked for.
	Image string `json:"image"`
	// Unit asked. What kubelet reports and CRI-O does not log is kubelet's.
	Unit string `json:"unit"`
	// Asked is how often, Got how often it was there: from a store or the node's own registry.
	Asked int `json:"asked"`
	Got   int `json:"got"`
}

// maxImages bounds the images of a report, and the requests that have not ended.
const maxImages = 10_000

// maxLine bounds a line of the journal: what is longer is left out.
const maxLine = 256 << 10

// What programs write to the journal: CRI-O at its default level, podman, journald, kubelet.
var (
	crioPull    = regexp.MustCompile(`msg="(Pulling|Pulled) image: ([^\s"\\]+)`)
	crioRequest = regexp.MustCompile(`\bid=([0-9a-f-]{36})`)
	podmanPull  = regexp.MustCompile(`^Trying to pull (\S+?)(?:\.\.\.)?$`)
	podmanError = regexp.MustCompile(`^(?:Error: |\s*\* ).*?docker://(\S+): `)
	suppressed  = regexp.MustCompile(`^Suppressed \d+ messages from (\S+)`)
	kubeletPull = regexp.MustCompile(`"Failed to pull image".* image="([^"\s]+)"`)
)

// pulls gathers what was asked for from what journalctl --output=json writes to it.
type pulls struct {
	images  map[[2]string]*Image // by reference and unit
	request map[string]*Image    // by CRI-O's number of the request
	more    bool                 // images than maxImages
	lost    map[string]bool      // units of which the journal left messages out
	rest    []byte               // of a line that has no end yet
	skip    bool                 // the rest of a line that is too long
}

func newPulls() *pulls {
	return &pulls{images: make(map[[2]string]*Image), request: make(map[string]*Image), lost: make(map[string]bool)}
}

// Write implements io.Writer.
func (p *pulls) Write(data []byte) (int, error) {
	n := len(data)
	for {
		line, after, found := bytes.Cut(data, []byte("\n"))
		if !p.skip && len(p.rest)+len(line) <= maxLine {
			p.rest = append(p.rest, line...)
		} else {
			p.skip = true
		}
		if !found {
			return n, nil
		}
		if !p.skip {
			p.entry(p.rest)
		}
		p.rest, p.skip, data = p.rest[:0], false, after
	}
}

// sorted are the images, sorted by reference and unit.
func (p *pulls) sorted() []Image {
	images := make([]Image, 0, len(p.images))
	for key, image := range p.images {
		if key[1] == kubelet && p.images[[2]string{key[0], crio}] != nil {
			continue // CRI-O has told it
		}
		images = append(images, *image)
	}
	slices.SortFunc(images, func(a, b Image) int {
		return strings.Compare(a.Image+" "+a.Unit, b.Image+" "+b.Unit)
	})
	return images
}

// entry takes a line of JSON. A message that is no text is of no program that pulls.
func (p *pulls) entry(data []byte) {
	var entry struct {
		Message any    `json:"MESSAGE"`
		Unit    string `json:"_SYSTEMD_UNIT"`
	}
	if json.Unmarshal(data, &entry) != nil {
		return
	}
	if text, ok := entry.Message.(string); ok {
		p.line(entry.Unit, text)
	}
}

func (p *pulls) line(unit, text string) {
	if m := crioPull.FindStringSubmatch(text); m != nil && unit == crio {
		id := ""
		if request := crioRequest.FindStringSubmatch(text); request != nil {
			id = request[1]
		}
		if m[1] == "Pulling" {
			if image := p.ask(unit, m[2]); image != nil && len(p.request) < maxImages {
				p.request[id] = image
			}
		} else if image := p.request[id]; image != nil {
			image.Got++
			delete(p.request, id)
		}
		return
	}
	if m := kubeletPull.FindStringSubmatch(text); m != nil && unit == kubelet {
		p.ask(unit, m[1])
		return
	}
	if unit == journald {
		if m := suppressed.FindStringSubmatch(text); m != nil {
			p.lost[m[1]] = true
		}
		return
	}
	if m := podmanPull.FindStringSubmatch(text); m != nil {
		if image := p.ask(unit, m[1]); image != nil {
			image.Got++
		}
	} else if m := podmanError.FindStringSubmatch(text); m != nil {
		if image := p.images[[2]string{m[1], unit}]; image != nil && image.Got > 0 {
			image.Got--
		} else {
			p.ask(unit, m[1]) // with --quiet it has only the error
		}
	}
}

func (p *pulls) ask(unit, ref string) *Image {
	key := [2]string{ref, unit}
	image := p.images[key]
	if image == nil {
		if len(p.images) >= maxImages {
			p.more = true
			return nil
		}
		image = &Image{Image: ref, Unit: unit}
		p.images[key] = image
	}
	image.Asked++
	return image
}
