// Package rule has what the rules of an audit share: the shape of a finding, and the command
// that mends it. The packages with rules build on it, and package audit runs them.
package rule

import (
	"encoding/json"
	"strings"

	"github.com/nodeseal/nodeseal/internal/visible"
)

// Severity says how bad a finding is.
type Severity string

const (
	// Breaks is what keeps a node or a pod from coming back after a reboot, or a pool from
	// its next upgrade.
	Breaks Severity = "breaks"
	// Warning is what breaks in other cases: a pod that moves, an upgrade, time.
	Warning Severity = "warning"
	// Note is what costs time or fills logs.
	Note Severity = "note"
)

// Finding is one thing that a rule found. Its fields are those of audit.Finding.
type Finding struct {
	Rule     string
	Severity Severity
	Object   string
	What     string
	Why      string
	Mend     string
	Patch    string
}

// Patch is an `oc patch` command, each word quoted for a shell: names come from objects that
// anyone may have written. namespace is "" for objects without one.
func Patch(namespace, object, kind string, patch any) string {
	data, err := json.Marshal(patch)
	if err != nil {
		return "" // of maps and strings there is none
	}
	words := []string{"oc"}
	if namespace != "" {
		words = append(words, "-n", namespace)
	}
	words = append(words, "patch", object, "--type="+kind, "-p", string(data))
	for i, w := range words {
		words[i] = visible.ShellWord(w)
	}
	return strings.Join(words, " ")
}
