package main

import (
	"os"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

// TestTroubleshooting holds that nodeseal has the messages that docs/troubleshooting.md says it has.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	var program strings.Builder
	for _, dir := range []string{".", "../../internal", "../../bundle"} {
		eachText(t, dir, func(_, text string) { program.WriteString(text + "\n") })
	}
	program.Write(machine.InstallScript())
	rows, table := 0, false
	for line := range strings.Lines(string(page)) {
		switch {
		case strings.HasPrefix(line, "| nodeseal says |"):
			table = true
		case !strings.HasPrefix(line, "|"):
			table = false
		case table && !strings.HasPrefix(line, "|---"):
			rows++
			messages := codeSpan.FindAllStringSubmatch(strings.SplitN(line, " | ", 2)[0], -1)
			if len(messages) == 0 {
				t.Errorf("%q has no message", line)
			}
			for _, m := range messages {
				if !strings.Contains(program.String(), m[1]) {
					t.Errorf("nodeseal never says %q", m[1])
				}
			}
		}
	}
	if rows < 15 {
		t.Errorf("%d rows, which are too few: how they are looked for is wrong", rows)
	}
}
