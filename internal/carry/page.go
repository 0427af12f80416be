package carry

import (
	"bytes"
	_ "embed" // the pages
	"fmt"
	htmltemplate "html/template"
	"slices"
	texttemplate "text/template"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/ui"
)

//go:embed page.html.tmpl
var htmlPage string

//go:embed page.txt.tmpl
var textPage string

// step is one step of the page for the technician.
type step struct {
	Icon  string // the picture in the HTML page
	Title string
	Text  []string
	// Commands are typed as they are, one a line.
	Commands []string
	// After is what to look for then.
	After []string
}

// steps are the way from a new node to one that holds the images.
func steps(res *Result) []step {
	const program, stick = nodeconfig.DefaultBinary, machine.StickDir
	all := []step{
		{Icon: "plug", Title: "Plug the stick in", Text: []string{
			"A node that is set up already imports by itself now: go to the step \"Look for OK\".",
			"A new node whose configuration has the key installs the program and imports by itself when it is switched on: go to that step, too.",
			"On a node that is set up by hand: log in on the console and become root (sudo -i).",
		}},
		{Icon: "terminal", Title: "Mount the stick", Commands: []string{
			"mkdir -p " + stick,
			"mount -o nodev,nosuid,noexec /dev/disk/by-label/" + machine.StickLabel + " " + stick,
		}},
	}
	imports := program + " import-stick " + stick
	if res.Signed {
		all = append(all, keyStep(res))
		imports += " --key " + machine.KeyFile
	}
	return append(append(all, programSteps(res)...),
		step{Icon: "import", Title: "Import", Commands: []string{imports},
			After: []string{"It takes some minutes and says how far it is. If it was interrupted, run it again: it resumes."}},
		step{Icon: "ok", Title: "Look for OK", Text: []string{
			"The last line on the console says it; the same is in result-NODE.txt on the stick, with the name of this node. The newest result is at its end.",
			"OK and DONE: the node holds the images.",
			"OK: nothing to do: the node held these images already. That is right, too.",
			"ONE STEP IS LEFT: the images are there, but the node's configuration is not: tell the administrator.",
			"FAILED says why, and STOP: report it with that file. Nothing that was on the node before is lost.",
		}},
		step{Icon: "next", Title: "Next node", Commands: []string{"umount " + stick},
			After: []string{"Then take the stick out. (A node that imported by itself has unmounted it.)"}},
	)
}

// keyStep says which key the node must have. It never comes from the stick.
func keyStep(res *Result) step {
	s := step{
		Icon: "key", Title: "Look at the node's key",
		Commands: []string{"openssl pkey -pubin -in " + machine.KeyFile + " -outform DER | sha256sum"},
	}
	switch {
	case len(res.Keys) == 1:
		s.After = append(s.After, "It must print "+res.Keys[0])
	case len(res.Keys) > 1:
		s.Commands = []string{"grep -c BEGIN " + machine.KeyFile}
		s.After = append(s.After, fmt.Sprintf("It must print %d: the node has the keys with these fingerprints:", len(res.Keys)))
		s.After = append(s.After, res.Keys...)
	default:
		s.After = append(s.After, "The administrator has the fingerprint that it must print.")
	}
	s.After = append(s.After,
		"If the file is not there, the node has no key yet. The key comes with the node's configuration (MachineConfig or Ignition), or the administrator puts it there by hand. "+
			"Do not take it from this stick: a key from the stick proves nothing about the stick. Go on when the key is there.")
	return s
}

// programSteps put the program on the node, proven by the node's key or by a person.
func programSteps(res *Result) []step {
	const program, stick = nodeconfig.DefaultBinary, machine.StickDir
	s := step{Icon: "terminal", Title: "Put the program on the node"}
	if res.Signed && res.ProgramSigned {
		s.Commands = []string{"sh " + machine.InstallFile + " " + stick}
		s.After = []string{
			"It must print OK. The script is the node's own, and installs only a program that the node's key signed.",
			"If the node has the key but not the script (the key was put there by hand), type instead: " +
				"install -D -m 755 " + stick + "/nodeseal " + program + " ; sha256sum " + program,
			"It must print " + res.ProgramSHA256 + " (compare with a page that was printed at the staging site). Then: " + program + " mount",
		}
		return []step{s}
	}
	s.Commands = []string{
		"install -D -m 755 " + stick + "/" + Program + " " + program,
		"sha256sum " + program,
	}
	s.After = []string{
		"It must print " + res.ProgramSHA256 + " (compare with a page that was printed at the staging site, not with one on the stick). If it does not, remove the file and stop.",
	}
	return []step{s, {Icon: "terminal", Title: "Make the slots", Commands: []string{program + " mount"}}}
}

// madeFrom says what the pages are made from.
func (o *Options) madeFrom(name string, rawInventory []byte, inv *bundle.Inventory) madeby.Mark {
	made := o.Made
	made.From = slices.Concat(made.From, madeby.Of("bundle "+name, rawInventory, inv))
	return made
}

// renderPages makes the page for the technician, as HTML and as plain text. Each
// needs no other file.
func renderPages(inv *bundle.Inventory, res *Result, config bool, made madeby.Mark) (html, text []byte, err error) {
	release := ""
	if inv.Release != nil {
		release = inv.Release.Version
	}
	data := map[string]any{
		"Bundle": res.Bundle, "Release": release, "Base": res.Base, "Images": res.Images, "Size": ui.Bytes(res.Size),
		"Signed": res.Signed, "Keys": res.Keys, "Config": config, "Sums": SumsFile, "Steps": steps(res), "Made": made.String(),
	}
	var h, t bytes.Buffer
	ht, err := htmltemplate.New(PageFile).Parse(htmlPage)
	if err == nil {
		err = ht.Execute(&h, data)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("making the page: %w", err)
	}
	tt, err := texttemplate.New(TextFile).Funcs(texttemplate.FuncMap{"inc": func(i int) int { return i + 1 }}).Parse(textPage)
	if err == nil {
		err = tt.Execute(&t, data)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("making the page: %w", err)
	}
	return h.Bytes(), t.Bytes(), nil
}
