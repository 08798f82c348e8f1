"""What happens at an update that makes a network diverge: losses along it, channel moments, agreement of gradients."""
