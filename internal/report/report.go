// Package report collects what somebody who helps with a node needs to know of it, in one archive without secrets: what
// status and audit say, the configuration of storage and registries that is in effect, units, versions, mounts, and the
// last lines of the journal. Each piece that cannot be read is named, and none stops the others.
package report

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"
	"time"

	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/visible"
)

const (
	// maxItem bounds one member of the archive, maxAll all of them, in bytes.
	maxItem = 512 << 10
	maxAll  = 8 << 20
	// patience is how long one piece may take, together how long all of them may.
	patience = 30 * time.Second
	together = 3 * time.Minute
	// folder is where the members lie.
	folder = "nodeseal-report/"
	// readme is the member that lists the others.
	readme = "README.txt"
)

// Item is one piece that a report takes.
type Item struct {
	// Name is that of its member in the archive, What the file or command that it comes from.
	Name string `json:"name"`
	What string `json:"what"`

	tail bool // the end matters where it is too long
	read func(ctx context.Context) ([]byte, error)
}

// Member is what became of an item.
type Member struct {
	Item
	// Bytes is its length in the archive, Redacted how many secrets were taken out.
	Bytes    int `json:"bytes"`
	Redacted int `json:"redacted"`
	// Cut says that only a part of it is there: it was too long.
	Cut bool `json:"cut,omitempty"`
	// Missing says that this node has no such thing, Problem why it could not be read.
	Missing bool   `json:"missing,omitempty"`
	Problem string `json:"problem,omitempty"`

	data  []byte
	named []string // hosts and registries, by its structure
}

// Report is what was collected.
type Report struct {
	Members []Member
	made    madeby.Mark
	names   int
	hidden  bool
}

// Collect reads the items one after the other. The error is that of the context; what cannot be read is in the members.
// With a salt, the names of hosts and registries are replaced by digests, which are the same for the same name and salt.
func Collect(ctx context.Context, items []Item, made madeby.Mark, salt []byte) (*Report, error) {
	r := &Report{made: made}
	total := 0
	all, cancel := context.WithTimeout(ctx, together)
	defer cancel()
	for _, item := range items {
		m := collect(all, item, maxAll-total)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		total += len(m.data)
		r.Members = append(r.Members, m)
	}
	if salt != nil {
		r.hideNames(salt)
	}
	for i := range r.Members {
		r.Members[i].Bytes = len(r.Members[i].data)
	}
	return r, nil
}

// Problems is how many items could not be read. What is not on the node is none.
func (r *Report) Problems() (n int) {
	for i := range r.Members {
		if r.Members[i].Problem != "" {
			n++
		}
	}
	return n
}

// collect reads one item within its time, and takes out what is secret. A command that ends with an error after it
// printed something, as systemctl does of a unit that is not there, has said what it knows.
func collect(ctx context.Context, item Item, room int) Member {
	m := Member{Item: item}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	type answer struct {
		data []byte
		err  error
	}
	read := make(chan answer, 1)
	go func() { // a file on a disk that does not answer keeps it for ever
		data, err := item.read(within)
		read <- answer{data, err}
	}()
	var got answer
	select {
	case got = <-read:
	case <-within.Done():
		select {
		case got = <-read: // a command that was ended has said something
		case <-time.After(2 * leftBehind):
		}
	}
	switch {
	case within.Err() != nil:
		m.Problem = fmt.Sprintf("it took longer than %s, or all together longer than %s", patience, together)
	case errors.Is(got.err, fs.ErrNotExist), errors.Is(got.err, exec.ErrNotFound):
		m.Missing = true
	case got.err != nil && len(got.data) == 0:
		text, _ := redact(got.err.Error())
		m.Problem = visible.Line(text)
	}
	text := strings.ToValidUTF8(string(got.data), "\uFFFD")
	whole, limit := strings.HasSuffix(item.Name, ".json"), min(maxItem, max(room, 0))
	if whole && len(text) > limit {
		m.Problem = fmt.Sprintf("it has more than %d bytes: left out, since a part of it is no JSON", limit)
		return m
	}
	m.named = namesOf(item.Name, text)
	text, m.Cut = cut(text, maxItem, item.tail)
	text, m.Redacted = redact(text)
	if whole && len(text) > limit {
		m.Problem = fmt.Sprintf("it has more than %d bytes: left out, since a part of it is no JSON", limit)
		return m
	}
	if m.Cut || len(text) > limit {
		m.Cut = true
		text = marked(text, limit, item.tail)
	}
	m.data = []byte(text)
	return m
}

// marked returns at most limit bytes of text, with a line that says that there is more where it was cut.
func marked(text string, limit int, tail bool) string {
	const mark = "[nodeseal report: cut here]\n"
	text, _ = cut(text, max(limit-len(mark)-1, 0), tail)
	switch {
	case limit <= len(mark):
		return ""
	case tail:
		return mark + text
	case text != "" && !strings.HasSuffix(text, "\n"):
		text += "\n"
	}
	return text + mark
}

// cut returns at most limit bytes of text, its end or its beginning, in whole lines if it has any.
func cut(text string, limit int, tail bool) (part string, short bool) {
	if len(text) <= limit {
		return text, false
	}
	if tail {
		part = text[len(text)-limit:]
		return part[strings.IndexByte(part, '\n')+1:], true
	}
	part = text[:limit]
	if i := strings.LastIndexByte(part, '\n'); i >= 0 {
		part = part[:i+1]
	}
	return strings.ToValidUTF8(part, ""), true
}

// Write writes the archive, a gzipped tar. What was collected gives the same bytes each time.
func (r *Report) Write(w io.Writer) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	add := func(name string, data []byte) error {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: folder + name, Mode: 0o600, Size: int64(len(data)), ModTime: r.made.Time, Format: tar.FormatPAX}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := t.Write(data)
		return err
	}
	err := add(readme, r.readme())
	for i := range r.Members {
		if m := &r.Members[i]; err == nil && len(m.data) > 0 {
			err = add(m.Name, m.data)
		}
	}
	if err == nil {
		err = errors.Join(t.Close(), z.Close())
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// readme says what is in the archive, what is not, and why.
func (r *Report) readme() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "A report of nodeseal about one node, for support.\n%s\n\nIn this archive:\n\n", r.made)
	for i := range r.Members {
		if m := &r.Members[i]; m.Bytes > 0 {
			fmt.Fprintf(&b, "  %-40s %8d bytes, %s%s%s\n", m.Name, m.Bytes, m.What, notes(m), problem(m))
		}
	}
	b.WriteString("\nNot in this archive:\n\n")
	for i := range r.Members {
		if m := &r.Members[i]; m.Bytes == 0 {
			fmt.Fprintf(&b, "  %-40s %s%s\n", m.Name, m.What, problem(m))
		}
	}
	b.WriteString("\nLeft out always:\n\n")
	for _, text := range LeftOut() {
		fmt.Fprintf(&b, "  %s\n", text)
	}
	if r.hidden {
		fmt.Fprintf(&b, "\n%d names of hosts and registries, and addresses, are replaced by digests with a secret that no one has: name-0123456789.\n"+
			"This is incomplete: only names at known places of files and messages are found. Look for your own names before you send it.\n", r.names)
	}
	b.WriteString("\nRead it before you pass it on: secrets are found by their form, and no list of forms is complete.\n")
	return b.Bytes()
}

func notes(m *Member) (text string) {
	if m.Redacted > 0 {
		text += fmt.Sprintf(", %d redacted", m.Redacted)
	}
	if m.Cut {
		text += ", cut"
	}
	return text
}

func problem(m *Member) string {
	switch {
	case m.Problem != "":
		return ": " + m.Problem
	case m.Missing:
		return ": not on this node"
	case m.Bytes == 0:
		return ": empty"
	}
	return ""
}

// LeftOut says what no report takes.
func LeftOut() []string {
	return []string{
		"credentials of registries: auth.json, config.json of kubelet and docker, pull secrets, credential helpers",
		"private keys and what lies in certs.d; public keys and certificates, too",
		"objects of the cluster, and the MachineConfig itself: only what audit finds in it",
		"values of environment variables in units and in CRI-O's configuration, but proxies without their passwords",
		"images, layers and lists of what they hold, beyond the references that status names",
		"the journal of other units than those of nodeseal and crio.service",
	}
}

// NewItem is an item that read reads. It may run until its context ends.
func NewItem(name string, read func(ctx context.Context) ([]byte, error)) Item {
	return Item{Name: name, What: name, read: read}
}
