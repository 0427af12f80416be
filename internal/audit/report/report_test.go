package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/audit"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/page/pagetest"
)

func sample() audit.Report {
	return audit.Report{
		Cluster: audit.Cluster{Version: "4.20.1", Nodes: 3, Architectures: []string{"amd64"}, Pools: []string{"master", "worker"}, Containers: 7},
		Held:    "bundle ocp.tar.zst",
		Made:    &madeby.Mark{Time: time.Unix(60, 0).UTC(), Program: "v1.2", From: []string{"objects <x>.yaml", "bundle ocp.tar.zst, release 4.20.1"}},
		Findings: []audit.Finding{
			{Rule: "pull-always", Severity: audit.Breaks, Object: "Pod a/<script>alert(1)</script>", What: "w", Why: "y", Mend: "m", Patch: "oc patch x -p '{\"a\":1}'"},
			{Rule: "by-tag", Severity: audit.Warning, Object: "Deployment a/b", What: "w", Why: "y", Mend: "m"},
		},
		Problems: []string{"Secret: listing secrets is forbidden"},
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Text(&b, sample()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"BREAKS   Pod a/", "[pull-always]", "         why:  y\n", "         $ oc patch x", "WARNING  Deployment a/b",
		"NOT READ Secret: ", "\nmade 1970-01-01 00:01 UTC by nodeseal v1.2 from objects <x>.yaml, bundle ocp.tar.zst, release 4.20.1\n", "1 finding would break a reboot with no registry; 1 warning, 0 notes.\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for want, r := range map[string]audit.Report{
		"No finding would break a reboot with no registry; 0 warnings, 0 notes.":                  {},
		"No finding would break a reboot, but not everything could be read; 0 warnings, 0 notes.": {Problems: []string{"x"}},
	} {
		if got := verdict(r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := JSON(&b, sample()); err != nil {
		t.Fatal(err)
	}
	var again audit.Report
	if err := json.Unmarshal(b.Bytes(), &again); err != nil || len(again.Findings) != 2 || again.Findings[0] != sample().Findings[0] || again.Made.String() != sample().Made.String() {
		t.Errorf("%+v %v", again, err)
	}
	b.Reset()
	if err := JSON(&b, audit.Report{}); err != nil || !strings.Contains(b.String(), `"findings": []`) {
		t.Errorf("no findings are not an empty list: %s", b.String())
	}
}

func TestHTML(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := HTML(&b, sample()); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	pagetest.Hold(t, text)
	if strings.Contains(text, "<script") || !strings.Contains(text, "&lt;script&gt;") {
		t.Error("what an object is called is not escaped")
	}
	if outside := regexp.MustCompile(`(?i)(src|href)\s*=|url\(|@import|https?://`).FindAllString(text, -1); len(outside) > 0 {
		t.Errorf("the page refers to something else: %q", outside)
	}
	for _, want := range []string{`id="count-breaks">1<`, `id="count-all">2<`, `class="verdict bad"`, "compared with bundle ocp.tar.zst", "What could not be read", "made 1970-01-01 00:01 UTC by nodeseal v1.2 from objects &lt;x&gt;.yaml, bundle ocp.tar.zst, release 4.20.1"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"text": Text(brokenWriter{}, sample()), "JSON": JSON(brokenWriter{}, sample()), "HTML": HTML(brokenWriter{}, sample()),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
