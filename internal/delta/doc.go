// Package delta finds what a new layer has in common with older ones, and writes it as package
// bundle/delta holds it.
package delta
