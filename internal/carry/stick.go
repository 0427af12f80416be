package carry

import (
	"bytes"
	_ "embed" // the script and the page
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"path"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/ui"
)

//go:embed install.sh
var script []byte

//go:embed page.html.tmpl
var page string

// items are all files but the bundle and the sums. The caller calls closeAll.
func (f *filler) items(opts Options, base string, inv *bundle.Inventory, res *Result) (items []item, closeAll func(), err error) {
	program, err := os.Open(opts.Program)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the program: %w", err)
	}
	closeAll = func() { _ = program.Close() } // read only
	info, err := program.Stat()
	if err != nil {
		closeAll()
		return nil, nil, fmt.Errorf("opening the program: %w", err)
	}
	items = []item{
		{name: Program, perm: 0o755, size: info.Size(), from: program},
		contentItem(Script, 0o755, script),
	}
	for _, c := range opts.Config {
		items = append(items, contentItem(path.Join("config", c.Name), 0o644, c.Content))
	}
	sig, err := readSmall(base + signature.Suffix)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	if sig != nil {
		items = append(items, contentItem(res.Bundle+signature.Suffix, 0o644, sig))
		res.Signed = true
	}
	text, err := renderPage(inv, res, len(opts.Config) > 0)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return append(items, contentItem(PageFile, 0o644, text)), closeAll, nil
}

// readSmall reads a signature; nil where there is none.
func readSmall(name string) ([]byte, error) {
	data, err := safefile.ReadFile(name, 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the signature: %w", err)
	}
	return data, nil
}

// renderPage makes the page for the technician: one file that needs no other.
func renderPage(inv *bundle.Inventory, res *Result, config bool) ([]byte, error) {
	t, err := template.New(PageFile).Parse(page)
	if err != nil {
		return nil, fmt.Errorf("making the page: %w", err)
	}
	release := ""
	if inv.Release != nil {
		release = inv.Release.Version
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Bundle": res.Bundle, "Release": release, "Base": res.Base, "Images": res.Images, "Size": ui.Bytes(res.Size),
		"Signed": res.Signed, "Config": config, "Program": Program, "Script": Script, "Sums": SumsFile, "Key": machine.KeyFile,
	})
	if err != nil {
		return nil, fmt.Errorf("making the page: %w", err)
	}
	return out.Bytes(), nil
}
