package nodestatus

import (
	"fmt"
	"io"
	"strings"
)

// WriteMetrics writes s in the OpenMetrics text format, for node_exporter's
// textfile collector. All metrics are gauges; times are seconds since the epoch.
func (s *Status) WriteMetrics(w io.Writer) error {
	m := &metrics{w: w}
	perSlot := func(name, help string, value func(*Slot) float64) {
		m.head(name, help)
		for i := range s.Slots {
			m.value(name, value(&s.Slots[i]), "slot", string(s.Slots[i].Name))
		}
	}
	m.head("nodeseal_reboot_ok", "Whether nothing speaks against a reboot with no registry.")
	m.value("nodeseal_reboot_ok", one(s.RebootOK()))
	m.head("nodeseal_problems", "Reasons why a reboot would fail.")
	m.value("nodeseal_problems", float64(len(s.Problems)))
	m.head("nodeseal_warnings", "Things that should be mended.")
	m.value("nodeseal_warnings", float64(len(s.Warnings)))
	m.head("nodeseal_references", "References that the slots hold.")
	m.value("nodeseal_references", float64(s.References))
	m.head("nodeseal_references_visible", "References of the slots that CRI-O and podman find.")
	m.value("nodeseal_references_visible", float64(s.Visible))
	m.head("nodeseal_references_missing", "References of the given list that no slot holds.")
	m.value("nodeseal_references_missing", float64(len(s.Missing)))
	m.head("nodeseal_slot_info", "What a slot holds.")
	for i := range s.Slots {
		sl := &s.Slots[i]
		m.value("nodeseal_slot_info", 1, "slot", string(sl.Name), "release", sl.Release, "inventory", sl.ID.String())
	}
	perSlot("nodeseal_slot_images", "Images in the slot.", func(sl *Slot) float64 { return float64(sl.Images) })
	perSlot("nodeseal_slot_immutable", "Whether the slot has its immutable attributes.", func(sl *Slot) float64 { return one(sl.Immutable) })
	perSlot("nodeseal_slot_mounted", "Whether the slot is mounted read-only.", func(sl *Slot) float64 { return one(sl.Mounted) })
	perSlot("nodeseal_slot_configured", "Whether storage.conf names the slot.", func(sl *Slot) float64 { return one(sl.Configured) })
	perSlot("nodeseal_slot_uses", "What retire would refuse for.", func(sl *Slot) float64 { return float64(len(sl.Uses)) })
	perSlot("nodeseal_slot_damage", "Places that the last verification found damaged.", func(sl *Slot) float64 { return float64(sl.Damage) })
	m.head("nodeseal_slot_verified_timestamp_seconds", "When the slot was last verified; absent if never.")
	for i := range s.Slots {
		if sl := &s.Slots[i]; !sl.Verified.IsZero() {
			m.value("nodeseal_slot_verified_timestamp_seconds", float64(sl.Verified.Unix()), "slot", string(sl.Name))
		}
	}
	m.print("# EOF\n")
	return m.err
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// metrics writes the text format. Its first error stays.
type metrics struct {
	w   io.Writer
	err error
}

func (m *metrics) print(format string, args ...any) {
	if m.err == nil {
		_, m.err = fmt.Fprintf(m.w, format, args...)
	}
}

func (m *metrics) head(name, help string) {
	m.print("# TYPE %s gauge\n# HELP %s %s\n", name, name, help)
}

// value writes one sample; labels are names and values in turns.
func (m *metrics) value(name string, v float64, labels ...string) {
	var pairs []string
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, labels[i]+`="`+escape.Replace(labels[i+1])+`"`)
	}
	if len(pairs) > 0 {
		name += "{" + strings.Join(pairs, ",") + "}"
	}
	m.print("%s %.0f\n", name, v)
}
