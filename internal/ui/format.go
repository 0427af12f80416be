package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/nodeseal/nodeseal/internal/progress"
)

// Bytes writes a size for people, with binary units: "512 B", "1.3 GiB".
func Bytes(n int64) string {
	if n > -1024 && n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	if n < 0 {
		return "-" + Bytes(-n)
	}
	return units.CustomSize("%.1f %s", float64(n), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"})
}

// Duration writes a time for people, with what matters: "0.3s", "42s", "1m50s",
// "2h5m".
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour-500*time.Millisecond:
		return d.Round(time.Second).String()
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
}

// amount writes n units.
func amount(n int64, unit progress.Unit) string {
	switch unit {
	case progress.Bytes:
		return Bytes(n)
	case progress.Step:
		return ""
	case progress.Count:
	}
	return fmt.Sprint(n)
}

// percent writes how much of a phase is done; empty where that is not known.
func (v view) percent() string {
	if v.permille < 0 {
		return ""
	}
	return fmt.Sprintf("%d%%", v.permille/10)
}

// amounts writes what is done, and of how much.
func (v view) amounts() string {
	if v.finished || v.total == 0 {
		return amount(v.done, v.unit)
	}
	return amount(v.done, v.unit) + " of " + amount(v.total, v.unit)
}

// speed writes the rate of bytes; counts have none worth a word.
func (v view) speed() string {
	if v.unit != progress.Bytes || v.rate <= 0 {
		return ""
	}
	return Bytes(int64(v.rate)) + "/s"
}

// remaining writes the time left; empty where that is not known.
func (v view) remaining() string {
	if !v.leftOK || v.left > 99*time.Hour {
		return ""
	}
	if v.left < 10*time.Second { // an estimate has no tenths
		return fmt.Sprintf("%.0fs left", v.left.Seconds())
	}
	return Duration(v.left) + " left"
}

// parts joins what is not empty.
func parts(list ...string) string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, ", ")
}
