"""What a chain gives away: id spaces, guesses, linkage by visits, and what remains of people without their names."""
