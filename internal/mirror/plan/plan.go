// Package plan says what a run of the mirror engine would move and what it
// needs, once every manifest and configuration is known and before any layer is.
package plan

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/diskbudget"
	"github.com/nodeseal/nodeseal/internal/mirror/sample"
)

// Plan is what a run is about to do. All sizes are in bytes. Those of what is
// still to be downloaded are the manifests' and exact; what they become in the
// bundle and on a node is estimated, as far as the work directory does not know.
type Plan struct {
	// Layers is how many different layers the images have, LayerBytes their
	// compressed size, SharedBytes the part of it that more than one image has.
	Layers      int   `json:"layers"`
	LayerBytes  int64 `json:"layerBytes"`
	SharedBytes int64 `json:"sharedBytes"`
	// BaseLayers and BaseBytes are those of them that the base has, and that are
	// neither moved nor in the bundle.
	BaseLayers int   `json:"baseLayers,omitempty"`
	BaseBytes  int64 `json:"baseBytes,omitempty"`
	// Attachments is how many signatures and referrers the images have,
	// AttachmentBytes their size. They are in the work directory. Who prints the plan
	// has more to say of them.
	Attachments     int   `json:"-"`
	AttachmentBytes int64 `json:"-"`
	// Download is what has to come from registries; the rest is in the work
	// directory.
	Download int64 `json:"download"`
	// Bundle is the bundle's size, estimated.
	Bundle int64 `json:"bundle"`
	// WithDeltas is its size if changed layers are held as deltas, 0 if they are not to be. It is
	// estimated by what packages and their updates came to: contents are not compared.
	WithDeltas int64 `json:"withDeltas,omitempty"`
	// Disks are the file systems here that the run writes to.
	Disks []Disk `json:"disks"`
	Node  Node   `json:"node"`
	// Rate is how many bytes of downloads a second are done, 0 where nothing was
	// measured; Seconds is the time for Download then.
	Rate    int64 `json:"rate,omitempty"`
	Seconds int64 `json:"seconds,omitempty"`
	// Levels are what each compression level would make of all layers, and in which
	// time of the download; empty where nothing was measured.
	Levels []Level `json:"levels,omitempty"`
	// Images are sorted as in the bundle.
	Images []Image `json:"images"`
}

// Image is one image's part of a Plan.
type Image struct {
	Ref    string `json:"ref"`
	Layers int    `json:"layers"`
	Bytes  int64  `json:"bytes"`
	// OwnBytes are those of layers that no other image has.
	OwnBytes int64 `json:"ownBytes"`
	Download int64 `json:"download"`
}

// Node is what the images take on a node's disk, by the kind of store.
type Node struct {
	Dir   int64 `json:"dir"`
	Image int64 `json:"image"`
	// Originals is the part of both that layers take as a registry has them.
	Originals int64 `json:"originals,omitempty"`
	// OS is what the operating system takes unpacked, once more, as the deployment that a
	// node boots.
	OS int64 `json:"os,omitempty"`
	// Disk is what a node's disk has to hold around an upgrade, if its size is known.
	Disk *diskbudget.Budget `json:"disk,omitempty"`
}

// Level is what a compression level would make of the images.
type Level struct {
	Level   int    `json:"level"`
	Name    string `json:"name"`
	Bundle  int64  `json:"bundle"`
	Seconds int64  `json:"seconds"`
	// Chosen says that the run is at this level: Bundle and Seconds are the plan's then.
	Chosen bool `json:"chosen,omitempty"`
}

// State is what the work directory or the base has of a layer.
type State struct {
	// Based says that the base has it: it is not moved.
	Based bool
	// Done says that it is finished; Frames is what it takes in the bundle then.
	Done   bool
	Frames int64
	// Plain is the length of its tar, 0 where that is not known.
	Plain int64
	// Kept is how much of its download is there, where it is not finished.
	Kept int64
}

// Input is what Make works on.
type Input struct {
	Images []bundle.Image
	Form   bundle.LayerForm
	Level  int
	// Jobs is how many downloads are kept at once, Encoders how many processors
	// compress.
	Jobs, Encoders int
	// Measured is what was measured on some of the layers; it may be nil.
	Measured *sample.Result
	// Attachments and AttachmentBytes are the Plan's.
	Attachments     int
	AttachmentBytes int64
	// State looks a layer up in the base and the work directory.
	State func(bundle.Layer) State
	// Deltas says that changed layers are held as deltas if these are shorter.
	Deltas bool
	// Work and Output are where the run writes.
	Work, Output string
	// NodeDisk is the size of a node's disk, 0 where it is not known.
	NodeDisk int64
}

// What layers become, as measured over the images of docs/performance.md, where
// nothing better is known: plain bytes for one byte of gzip, and what files
// take on a disk of 4 KiB blocks for one byte of their tar.
const (
	plainRatio = 2.6
	dirRatio   = 1.06
	// deltaRatio is a delta's part of a changed layer, over the packages of docs/adr/0020.
	deltaRatio = 0.25
)

// frameRatio is bytes of frames for one byte of gzip.
func frameRatio(form bundle.LayerForm, level int) float64 {
	if form == bundle.Original {
		return 1.001
	}
	switch level {
	case 1:
		return 0.98
	case 2:
		return 0.92
	case 4:
		return 0.84
	}
	return 0.88
}

// Make computes the plan. It reads the free space of the disks.
func Make(in Input) (*Plan, error) {
	p, n := in.figures()
	var err error
	p.Disks, err = disks(in.Work, in.Output, n)
	return p, err
}

// Figures computes the plan without the disks.
func Figures(in Input) *Plan {
	p, _ := in.figures()
	return p
}

func (in Input) figures() (*Plan, needs) {
	p := &Plan{Attachments: in.Attachments, AttachmentBytes: in.AttachmentBytes}
	l := sumLayers(in, p)
	slices.SortFunc(l.missing, func(a, b int64) int { return int(min(max(b-a, -1), 1)) })
	var partial int64
	for _, n := range l.missing[:min(in.Jobs, len(l.missing))] {
		partial += n
	}
	frames, ratio := in.ratios()
	if l.done.size >= enough {
		frames = max(frames*0.9, min(float64(l.done.frames)/float64(l.done.size), frames*1.1))
	}
	comes := int64(frames*float64(l.missingSize-l.missingOriginal) + frameRatio(bundle.Original, in.Level)*float64(l.missingOriginal))
	p.Bundle = l.done.frames + comes + in.overhead()
	if in.Deltas {
		p.WithDeltas = int64(deltaRatio*float64(l.done.frames+comes)) + in.overhead()
	}
	if l.plain.size >= enough {
		ratio = float64(l.plain.plain) / float64(l.plain.size)
	}
	plain := l.plain.plain + int64(ratio*float64(p.LayerBytes-l.plain.size-l.artifacts))
	kept := originals(in.Images)
	p.Node = Node{
		Dir: int64(dirRatio*float64(plain)) + in.AttachmentBytes + kept, Image: plain + in.AttachmentBytes + kept,
		Originals: kept, OS: int64(dirRatio * ratio * float64(systems(in.Images))),
	}
	in.addDisk(p)
	in.addTimes(p)
	n := needs{frames: comes, partial: max(0, partial-l.kept), bundle: p.Bundle}
	if in.Deltas {
		n.deltas = p.WithDeltas + archive.SpoolSize
	}
	if in.Form == bundle.Original { // what came is kept, and is all that is
		n.frames, n.partial = l.missingSize-l.kept, 0
	}
	return p, n
}

// overhead is what a bundle has beside layers: of attachments their own size, that
// of their tar headers, and a line in the inventory.
func (in Input) overhead() int64 {
	return int64(len(in.Images))*perImage + in.AttachmentBytes + int64(in.Attachments)*perAttachment
}

// ratios are bytes of frames, and of plain tar, for one byte of gzip.
func (in Input) ratios() (frames, plain float64) {
	frames, plain = frameRatio(in.Form, in.Level), plainRatio
	if in.Measured == nil {
		return frames, plain
	}
	for _, level := range in.Measured.Levels {
		if in.Form == bundle.Expanded && level.Level == in.Level {
			frames = level.Ratio * margin
		}
	}
	return frames, in.Measured.Plain
}

// margin is added to what a sample promises about space.
const margin = 1.05

// addTimes says how long the plan takes, at this level and at the others, by
// what was measured: the network or the processors, whichever is slower.
func (in Input) addTimes(p *Plan) {
	m := in.Measured
	if m == nil || p.Download == 0 {
		return
	}
	p.Rate = int64(m.Rate)
	p.Seconds = int64(float64(p.Download) / m.Rate)
	if in.Form == bundle.Original {
		return
	}
	for _, level := range m.Levels {
		rate := min(m.Rate, level.Speed*float64(in.Encoders))
		l := Level{
			Level: level.Level, Name: seekable.LevelName(level.Level),
			Bundle:  int64(level.Ratio*margin*float64(p.LayerBytes-p.BaseBytes)) + in.overhead(),
			Seconds: int64(float64(p.Download) / rate),
		}
		if level.Level == in.Level {
			p.Rate, p.Seconds = int64(rate), l.Seconds
			l.Bundle, l.Chosen = p.Bundle, true // which knows more: what is in the work directory
		}
		p.Levels = append(p.Levels, l)
	}
}

const (
	// enough compressed bytes of finished layers say more than the constants.
	enough = 64 << 20
	// perImage is what manifest, configuration and inventory take in a bundle.
	perImage = 8 << 10
	// perAttachment is what an attachment takes beside its own bytes.
	perAttachment = 2 << 10
)

type layerSums struct {
	done        struct{ size, frames int64 }
	plain       struct{ size, plain int64 }
	missing     []int64
	missingSize int64
	// missingOriginal is the part of missingSize that is kept as a registry has it.
	missingOriginal int64
	kept            int64
	// artifacts are the layers of artifacts, which are not unpacked.
	artifacts int64
}

// sumLayers fills in what the manifests and the work directory say.
func sumLayers(in Input, p *Plan) layerSums {
	var l layerSums
	users := make(map[digest.Digest]map[digest.Digest]bool) // layer -> configurations
	for i := range in.Images {
		for _, layer := range in.Images[i].Layers {
			if users[layer.Digest] == nil {
				users[layer.Digest] = make(map[digest.Digest]bool)
			}
			users[layer.Digest][in.Images[i].Config.Digest] = true
		}
	}
	states := make(map[digest.Digest]State, len(users))
	for i := range in.Images {
		img := Image{Ref: in.Images[i].Ref}
		seen := make(map[digest.Digest]bool)
		for _, layer := range in.Images[i].Layers {
			if seen[layer.Digest] {
				continue
			}
			seen[layer.Digest] = true
			state, known := states[layer.Digest]
			if !known {
				state = in.State(layer)
				states[layer.Digest] = state
				l.add(p, layer.Size, state)
				if in.Images[i].Artifact {
					l.artifacts += layer.Size
				}
				if layer.Original && !state.Based && !state.Done {
					l.missingOriginal += layer.Size
				}
				if len(users[layer.Digest]) > 1 {
					p.SharedBytes += layer.Size
				}
			}
			img.Layers++
			img.Bytes += layer.Size
			if len(users[layer.Digest]) == 1 {
				img.OwnBytes += layer.Size
			}
			if !state.Done && !state.Based {
				img.Download += max(0, layer.Size-state.Kept)
			}
		}
		p.Images = append(p.Images, img)
	}
	return l
}

func (l *layerSums) add(p *Plan, size int64, s State) {
	p.Layers++
	p.LayerBytes += size
	if s.Plain > 0 {
		l.plain.size += size
		l.plain.plain += s.Plain
	}
	if s.Based {
		p.BaseLayers++
		p.BaseBytes += size
		return
	}
	if s.Done {
		l.done.size += size
		l.done.frames += s.Frames
		return
	}
	p.Download += max(0, size-s.Kept)
	l.missing = append(l.missing, size)
	l.missingSize += size
	l.kept += s.Kept
}
