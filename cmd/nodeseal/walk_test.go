package main

import (
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// walkPage takes the commands out of a section of a page of docs/, in their order, into a
// script that ends at the first that fails: walk PAGE SECTION SCRIPT. They are the lines of
// its sh blocks.
func walkPage(ts *testscript.TestScript, _ bool, args []string) {
	page, err := os.ReadFile("../../docs/" + args[0])
	ts.Check(err)
	script := "set -ex\n"
	found, inside := false, false
	for line := range strings.Lines(string(page)) {
		switch {
		case strings.HasPrefix(line, "## "):
			found = strings.TrimSpace(line[3:]) == args[1]
		case found && strings.HasPrefix(line, "```"):
			inside = strings.TrimSpace(line) == "```sh"
		case found && inside:
			script += line
		}
	}
	if script == "set -ex\n" {
		ts.Fatalf("%s has no commands in a section %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(script), 0o600))
}
