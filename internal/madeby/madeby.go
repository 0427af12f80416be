// Package madeby says of a page or a report when, with which program, and from what it was
// made.
package madeby

import (
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

// Mark is what a page or a report carries. The zero value says nothing.
type Mark struct {
	// Time is when it was made, in UTC, to the second.
	Time time.Time `json:"time,omitzero"`
	// Program is the version of nodeseal.
	Program string `json:"program"`
	// From are the files, the bundle and the release that it was made from, in words.
	From []string `json:"from,omitempty"`
}

// New makes the mark of what is made now. An epoch, in seconds since 1970, takes the place
// of now: SOURCE_DATE_EPOCH, by which what is made twice has the same bytes.
func New(epoch string, now time.Time, program string, from ...string) Mark {
	if s, err := strconv.ParseInt(epoch, 10, 64); err == nil && s >= 0 {
		now = time.Unix(s, 0)
	}
	return Mark{Time: now.UTC().Truncate(time.Second), Program: program, From: from}
}

// Of names what holds images, as "bundle FILE", with the digest of its inventory and with its
// release, if it says one.
func Of(what string, rawInventory []byte, inv *bundle.Inventory) []string {
	from := []string{what, "inventory " + digest.FromBytes(rawInventory).String()}
	if r := inv.Release; r != nil && r.Version != "" {
		from = append(from, "release "+r.Version)
	}
	return from
}

// String is the mark in one line: "made 2026-03-01 10:22 UTC by nodeseal v1.4.0 from ...".
func (m Mark) String() string {
	if m.Program == "" {
		return ""
	}
	text := "made " + m.Time.Format("2006-01-02 15:04 MST") + " by nodeseal " + m.Program
	if len(m.From) > 0 {
		text += " from " + strings.Join(m.From, ", ")
	}
	return text
}
