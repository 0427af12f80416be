package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Commands in a page: in code spans, and as lines of blocks, with a prompt or without.
var (
	codeSpan  = regexp.MustCompile("`([^`\n]*)`")
	codeLine  = regexp.MustCompile(`(?m)^(?:    |[$#] )\s*(?:[$#] |sudo )?(nodeseal .*)$`)
	inText    = regexp.MustCompile(`nodeseal [a-z][^\n]*`)
	flagName  = regexp.MustCompile(`^--([a-z][a-z-]*)`)
	endOfLine = regexp.MustCompile("[;|`)>,]|&&|\\. |: | # | {2,}")
)

// TestNamedCommands holds that each command that a page of the documentation or a message names
// exists, and has the flags that are named with it.
func TestNamedCommands(t *testing.T) {
	t.Parallel()
	root := newRootCommand(&app{})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var commands []string
		for _, m := range append(codeSpan.FindAllSubmatch(text, -1), codeLine.FindAllSubmatch(text, -1)...) {
			commands = append(commands, string(m[1]))
		}
		named += holdCommands(t, root, page, commands)
	}
	for _, dir := range []string{".", "../../internal", "../../bundle"} {
		eachText(t, dir, func(path, text string) { named += holdCommands(t, root, path, inText.FindAllString(text, -1)) })
	}
	if named < 200 {
		t.Errorf("%d commands were found, which are too few: how they are looked for is wrong", named)
	}
}

// eachText calls f with each string in the program's files below dir.
func eachText(t *testing.T, dir string, f func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					f(path, text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// holdCommands holds texts that begin with a command, and returns how many do.
func holdCommands(t *testing.T, root *cobra.Command, where string, texts []string) (named int) {
	t.Helper()
	for _, text := range texts {
		for _, part := range strings.SplitAfter(text, "nodeseal ")[1:] {
			part = endOfLine.Split(part, 2)[0]
			cmd := root
			words := strings.Fields(part)
			for len(words) > 0 {
				next := subcommand(cmd, words[0])
				if next == nil {
					break
				}
				cmd, words = next, words[1:]
			}
			if cmd == root {
				continue // a sentence about the program
			}
			named++
			for _, word := range words {
				if m := flagName.FindStringSubmatch(word); m != nil && cmd.Flag(m[1]) == nil && cmd.InheritedFlags().Lookup(m[1]) == nil && m[1] != "help" {
					t.Errorf("%s: %q: %s has no --%s", where, "nodeseal "+part, cmd.CommandPath(), m[1])
				}
			}
		}
	}
	return named
}

func subcommand(cmd *cobra.Command, name string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == name {
			return c
		}
	}
	return nil
}
