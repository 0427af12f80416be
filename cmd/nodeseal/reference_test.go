package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the generated pages of docs/ anew")

// TestCommandReference holds that docs/commands.md is what the commands say of
// themselves. After a change: go test ./cmd/nodeseal -run Reference -update
func TestCommandReference(t *testing.T) {
	var page bytes.Buffer
	page.WriteString("# The commands\n\nWhat `nodeseal COMMAND --help` says, on one page. A test writes it and holds it to the program.\n\n" +
		"Every command has the flags of the last section. Every flag can also come from the environment:\n" +
		"`--tls-verify` from `NODESEAL_TLS_VERIFY`. What `--json` prints is in [json.md](json.md).\n")
	root := newRootCommand(&app{})
	for _, group := range root.Groups() {
		fmt.Fprintf(&page, "\n## %s\n", strings.TrimSuffix(group.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == group.ID && !c.Hidden {
				describeCommand(&page, c)
			}
		}
	}
	page.WriteString("\n## Flags of every command\n\n")
	describeFlags(&page, root.PersistentFlags())
	holdPage(t, "commands.md", page.Bytes())
}

func describeCommand(page *bytes.Buffer, c *cobra.Command) {
	fmt.Fprintf(page, "\n### %s\n\n", c.CommandPath())
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(page, "%s\n", text)
	if c.Runnable() {
		fmt.Fprintf(page, "\n    %s\n", c.UseLine())
	}
	if c.Example != "" {
		page.WriteString("\nExamples:\n\n")
		for line := range strings.SplitSeq(c.Example, "\n") {
			fmt.Fprintf(page, "    %s\n", strings.TrimPrefix(line, "  "))
		}
	}
	if c.LocalFlags().HasAvailableFlags() {
		page.WriteByte('\n')
		describeFlags(page, c.LocalFlags())
	}
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			describeCommand(page, sub)
		}
	}
}

func describeFlags(page *bytes.Buffer, flags *pflag.FlagSet) {
	page.WriteString("| flag | |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		switch f.DefValue {
		case "", "false", "0", "[]", "0s":
		default:
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(page, "| `%s` | %s |\n", name, cell(usage))
	})
}

// cell makes a sentence the content of a table's cell.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;").Replace(text)
}

// holdPage compares a generated page of docs/ with what it should be, or writes it.
func holdPage(t *testing.T, name string, want []byte) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", name)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("docs/%s is out of date: line %d is\n  %s\nand should be\n  %s\ngo test ./cmd/nodeseal -run Reference -update writes it",
				name, i+1, gotLines[i], wantLines[i])
		}
	}
	t.Fatalf("docs/%s is out of date: %d lines, want %d", name, len(gotLines), len(wantLines))
}

// link matches the target of a link in Markdown.
var link = regexp.MustCompile(`\]\(([^)#\s]*)(?:#[^)]*)?\)`)

// TestLinks holds that what the documents link to is there.
func TestLinks(t *testing.T) {
	root := filepath.Join("..", "..")
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	links := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target := m[1]
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which is not there", page, target)
			}
		}
	}
	if links == 0 {
		t.Error("no links were found")
	}
}
