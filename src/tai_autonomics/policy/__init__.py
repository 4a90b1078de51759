"""What the vendor declares: the plans file, made into the domain's frozen Plans."""
